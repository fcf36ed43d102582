/* A context that nobody copies: a CPython object header written just below pages that the host mapped.
 *
 * CPython keeps the characters of a compact str, and the bytes of a bytes, right behind the object's header. The host
 * maps the shared, read-only buffer at `data` (a page boundary) and leaves writable memory below it; here the header is
 * written into the last bytes of that memory, and the two together are a genuine object of any length.
 *
 * Guaranteed: the object is immortal, so CPython never frees it and never moves it; what CPython does write (the cached
 * hash, the cached UTF-8 form) lies in the header, on a private page. Not guaranteed: that `length` and `kind` are true.
 * They come from the host, which counted. A write into the buffer itself is stopped by the MMU and ends the instance.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>
#include "divebell.h"

enum kind { BYTES = 0, ASCII = 1, LATIN1 = 2, UCS2 = 3, UCS4 = 4 };

static PyObject *bytes_header(char *data, uint32_t length)
{
    PyBytesObject *bytes = (PyBytesObject *)(data - offsetof(PyBytesObject, ob_sval));
    PyObject *pattern = PyBytes_FromStringAndSize("pattern", 7);
    if (pattern == NULL)
        return NULL;
    memcpy(bytes, pattern, offsetof(PyBytesObject, ob_sval));
    Py_DECREF(pattern);
    ((PyVarObject *)bytes)->ob_size = (Py_ssize_t)length;
    _Py_COMP_DIAG_PUSH
    _Py_COMP_DIAG_IGNORE_DEPR_DECLS
    bytes->ob_shash = -1;
    _Py_COMP_DIAG_POP
    return (PyObject *)bytes;
}

static PyObject *text_header(enum kind kind, char *data, uint32_t length)
{
    static const Py_UCS4 widest[] = {[ASCII] = 0x7f, [LATIN1] = 0xff, [UCS2] = 0xffff, [UCS4] = 0x10ffff};
    size_t header_bytes = kind == ASCII ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject);
    PyObject *pattern = PyUnicode_New(3, widest[kind]);
    if (pattern == NULL)
        return NULL;
    PyASCIIObject *text = (PyASCIIObject *)(data - header_bytes);
    memcpy(text, pattern, header_bytes);
    Py_DECREF(pattern);
    text->length = (Py_ssize_t)length;
    text->hash = -1;
    text->state.interned = 0;
    if (kind != ASCII) {
        ((PyCompactUnicodeObject *)text)->utf8 = NULL;
        ((PyCompactUnicodeObject *)text)->utf8_length = 0;
    }
    return (PyObject *)text;
}

/* `length` counts bytes of a BYTES and characters of the others. 0 on success. */
int32_t EXPORT(divebell_attach)(uint32_t kind, char *data, uint32_t length)
{
    if (kind > UCS4)
        return -1;
    PyObject *context = kind == BYTES ? bytes_header(data, length) : text_header((enum kind)kind, data, length);
    if (context == NULL)
        return PyErr_Clear(), -1;
    context->ob_refcnt = _Py_IMMORTAL_REFCNT;
    PyObject *done = PyObject_CallOneArg(divebell_attach_function(), context);
    if (done == NULL)
        return PyErr_Clear(), -1;
    Py_DECREF(done);
    return 0;
}
