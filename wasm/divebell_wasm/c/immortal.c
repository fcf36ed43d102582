/* `_divebell.immortalize()`: make every object that exists now immortal.
 *
 * Why: a sandbox is a copy-on-write view of the image, and CPython writes to an object merely to look at it, because it
 * counts references in the object itself. Reference counts of immortal objects (PEP 683) are never written. So the
 * modules, functions, code and strings of the image stay on shared pages, and a sandbox owns only what it changed.
 *
 * Guaranteed: only reference counts change. Not guaranteed: completeness. An object that the walk does not reach keeps
 * its count, and costs at most a copied page.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "divebell.h"

static void immortalize(PyObject *object);

static int visit(PyObject *object, void *unused)
{
    if (object != NULL)
        immortalize(object);
    return 0;
}

/* What an object refers to that its tp_traverse leaves out because it cannot be part of a cycle. */
static void immortalize_hidden(PyObject *object)
{
    if (PyDict_Check(object)) {
        PyObject *key, *value;
        for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value);) {
            immortalize(key);
            immortalize(value);
        }
    } else if (PyCode_Check(object)) {
        PyCodeObject *code = (PyCodeObject *)object;
        PyObject *parts[] = {
            code->co_consts,   code->co_names, code->co_exceptiontable, code->co_localsplusnames, code->co_localspluskinds,
            code->co_filename, code->co_name,  code->co_qualname,       code->co_linetable,
        };
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            visit(parts[i], NULL);
    }
}

static void immortalize_referents(PyObject *object)
{
    immortalize_hidden(object);
    traverseproc traverse = Py_TYPE(object)->tp_traverse;
    if (traverse != NULL && PyObject_IS_GC(object))
        traverse(object, visit, NULL);
}

/* Containers that the collector tracks are visited by the outer walk, so that this recursion stays shallow. */
static void immortalize(PyObject *object)
{
    if (_Py_IsImmortal(object))
        return;
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    if (!PyObject_GC_IsTracked(object))
        immortalize_referents(object);
}

static int visit_tracked(PyObject *object, void *unused)
{
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    immortalize_referents(object);
    return 1;
}

PyObject *divebell_immortalize(PyObject *module, PyObject *unused)
{
    PyUnstable_GC_VisitObjects(visit_tracked, NULL);
    Py_RETURN_NONE;
}
