/* A context that nobody copies: CPython objects whose characters or bytes lie in pages that the host mapped read-only.
 *
 * A whole text: CPython keeps the characters of a compact str, and the bytes of a bytes, right behind the object's
 * header. The host maps the shared buffer at `data` (a page boundary) and leaves writable memory below it; here the
 * header is written into the last bytes of that memory, and the two together are a genuine object of any length.
 *
 * The texts of a value (documents, records), and a part of a text: these start anywhere in a page, and there may be
 * hundreds of thousands of them. Their headers lie in the heap, 32 bytes each, side by side, and point at the
 * characters: the form of str that CPython calls "not compact" and uses for subclasses. Its sources take an exact str of
 * that form everywhere, by PyUnicode_DATA, PyUnicode_UTF8 and `state.compact` (read for 3.13.5: all uses of these and of
 * PyUnicode_IS_COMPACT; what would write to the characters or free them, resizing and deallocation, asks for a reference
 * count that an immortal object does not have). A bytes has no such form, so the host leaves a writable page in front of
 * each one, for its header.
 *
 * Guaranteed: the objects are immortal, so CPython never frees and never moves them; what CPython does write (the cached
 * hash, the cached UTF-8 form) lies in the header, on a private page. Not guaranteed: that lengths and kinds are true.
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

static PyObject *detached_text(enum kind kind, char *data, uint32_t length)
{
    PyUnicodeObject *text = PyObject_Malloc(sizeof *text);
    if (text == NULL)
        return PyErr_NoMemory();
    memset(text, 0, sizeof *text);
    PyASCIIObject *ascii = (PyASCIIObject *)text;
    ascii->ob_base.ob_type = &PyUnicode_Type;
    ascii->length = (Py_ssize_t)length;
    ascii->hash = -1;
    ascii->state.kind = kind == UCS4 ? PyUnicode_4BYTE_KIND : kind == UCS2 ? PyUnicode_2BYTE_KIND : PyUnicode_1BYTE_KIND;
    if (kind == ASCII) {
        ascii->state.ascii = 1;
        text->_base.utf8 = data;
        text->_base.utf8_length = (Py_ssize_t)length;
    }
    text->data.any = data;
    return (PyObject *)text;
}

static char *shared_base;

enum extension { BIG_INTEGER = 1, SHARED = 2, SHARED_BYTES = 9 };

/* `_divebell.shared(code, data)`: what msgpack calls for each value that is not of its own kinds. In C, because a
 * context may hold hundreds of thousands of texts. SHARED is a kind (1 byte), an offset from the base and a length (4
 * bytes each, little-endian); BIG_INTEGER is that of door/wire.py. */
PyObject *divebell_shared(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    char *data;
    Py_ssize_t size;
    if (count != 2 || PyBytes_AsStringAndSize(arguments[1], &data, &size) < 0)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "shared(code, data)");
    long code = PyLong_AsLong(arguments[0]);
    if (code == BIG_INTEGER)
        return _PyLong_FromByteArray((unsigned char *)data, (size_t)size, 0, 1);
    uint32_t offset, length;
    if (code != SHARED || size != SHARED_BYTES || (unsigned char)data[0] > UCS4)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "unknown extension type %ld", code);
    memcpy(&offset, data + 1, sizeof offset);
    memcpy(&length, data + 5, sizeof length);
    enum kind kind = (enum kind)data[0];
    PyObject *made = kind == BYTES ? bytes_header(shared_base + offset, length)
                                   : detached_text(kind, shared_base + offset, length);
    if (made != NULL)
        made->ob_refcnt = _Py_IMMORTAL_REFCNT;
    return made;
}

/* The value is msgpack at `packed`, and the offsets in it count from `base`. 0 on success, -2 where memory ran out. */
int32_t EXPORT(divebell_attach_value)(char *base, char *packed, uint32_t length)
{
    shared_base = base;
    PyObject *view = PyMemoryView_FromMemory(packed, length, PyBUF_READ);
    PyObject *done = view ? PyObject_CallOneArg(divebell_attach_value_function(), view) : NULL;
    Py_XDECREF(view);
    if (done == NULL) {
        int32_t failure = PyErr_ExceptionMatches(PyExc_MemoryError) ? -2 : -1;
        return PyErr_Clear(), failure;
    }
    Py_DECREF(done);
    return 0;
}
