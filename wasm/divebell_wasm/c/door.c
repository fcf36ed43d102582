/* The door, from the guest's side: `_divebell.call(request: bytes) -> bytes`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "divebell.h"

unsigned char divebell_mailbox[MAILBOX_BYTES];

static PyObject *call(PyObject *self, PyObject *request)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(request, &bytes, &length) < 0)
        return NULL;
    int32_t answered = divebell_call(bytes, (uint32_t)length, divebell_mailbox, MAILBOX_BYTES);
    if (answered < 0) {
        PyErr_SetString(PyExc_RuntimeError, "the host closed the door");
        return NULL;
    }
    if (answered <= MAILBOX_BYTES)
        return PyBytes_FromStringAndSize((char *)divebell_mailbox, answered);
    PyObject *answer = PyBytes_FromStringAndSize(NULL, answered);
    if (answer == NULL)
        return NULL;
    if (divebell_call(NULL, 0, PyBytes_AS_STRING(answer), (uint32_t)answered) != answered) {
        Py_DECREF(answer);
        PyErr_SetString(PyExc_RuntimeError, "the host lost a long answer");
        return NULL;
    }
    return answer;
}

static PyMethodDef methods[] = {
    {"call", call, METH_O, "Send one request through the door and return the host's answer."},
    {"immortalize", divebell_immortalize, METH_NOARGS, "Make every object that exists now immortal (immortal.c)."},
    {"shared", (PyCFunction)(void (*)(void))divebell_shared, METH_FASTCALL, "An object in shared pages (context.c)."},
    {"settle", divebell_settle, METH_NOARGS, "Fill the heap's holes (settle.c)."},
    {NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_divebell", NULL, -1, methods};

PyObject *divebell_door_module(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddIntConstant(made, "ABI_VERSION", DIVEBELL_ABI_VERSION) < 0)
        Py_CLEAR(made);
    return made;
}
