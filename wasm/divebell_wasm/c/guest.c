/* The host's side of the module: boot once, then answer one request at a time.
 *
 * wasm/ABI.md describes each export. The host keeps the memory of a booted guest as an image and starts every sandbox
 * from it, so whatever boot leaves behind is shared by all sandboxes and must not be secret.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "internal/pycore_ceval.h"
#include "internal/pycore_runtime.h"
#include "divebell.h"

PyMODINIT_FUNC PyInit__cmsgpack(void);

static PyObject *dispatch_function, *attach_function, *attach_value_function, *last_answer;
static char *long_request;

/* Addresses that never move after boot, in the order that ABI.md lists. */
static struct {
    uint32_t abi_version, mailbox, mailbox_bytes, random_key, last_words, last_words_bytes;
    uint32_t signal_tripped, any_signal_tripped, eval_breaker, eval_breaker_bit;
} layout;

const void *EXPORT(divebell_layout)(void)
{
    PyThreadState *thread = PyThreadState_GetUnchecked();
    layout.abi_version = DIVEBELL_ABI_VERSION;
    layout.mailbox = (uint32_t)divebell_mailbox;
    layout.mailbox_bytes = MAILBOX_BYTES;
    layout.random_key = (uint32_t)divebell_random_key;
    layout.last_words = (uint32_t)divebell_last_words;
    layout.last_words_bytes = LAST_WORDS_BYTES;
    layout.signal_tripped = (uint32_t)&_PyRuntime.signals.handlers[SIGALRM].tripped;
    layout.any_signal_tripped = (uint32_t)&_PyRuntime.signals.is_tripped;
    layout.eval_breaker = thread ? (uint32_t)&thread->eval_breaker : 0;
    layout.eval_breaker_bit = _PY_SIGNALS_PENDING_BIT;
    return &layout;
}

/* Where the host may write a request of `length` bytes; 0 where there is no memory for it. */
void *EXPORT(divebell_reserve)(uint32_t length)
{
    free(long_request);
    long_request = NULL;
    if (length <= MAILBOX_BYTES)
        return divebell_mailbox;
    return long_request = malloc(length);
}

/* Leaves the raised exception in the last words, one line: there may be no sys.stderr yet. */
static int fail(void)
{
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *text = raised ? PyObject_Repr(raised) : NULL;
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    fprintf(stderr, "%s\n", utf8 ? utf8 : "an exception that cannot be shown");
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(raised);
    return -1;
}

/* `payload` is a msgpack map {module name: source}; the module `divebell_guest.boot` among them is run last, arranges the
 * image with its `settle`, and answers requests from then on. The payload, if `divebell_reserve` made it, is freed. 0 on
 * success. */
int32_t EXPORT(divebell_boot)(const char *payload, uint32_t length)
{
    static const char load_modules[] =
        "import sys, types, msgpack\n"
        "def load(payload):\n"
        "    sources = msgpack.unpackb(payload)\n"
        "    for name in sources:\n"
        "        module = sys.modules[name] = types.ModuleType(name)\n"
        "        module.__file__ = f'<{name}>'\n"
        "        module.__package__ = name.rpartition('.')[0]\n"
        "        if name == 'divebell_guest':\n"
        "            module.__path__ = []\n"
        "            module.__package__ = name\n"
        "    for name, source in sources.items():\n"
        "        exec(compile(source, f'<{name}>', 'exec', dont_inherit=True), sys.modules[name].__dict__)\n"
        "    return sys.modules['divebell_guest.boot']\n";
    divebell_use_frozen_modules();
    if (PyImport_AppendInittab("_divebell", divebell_door_module) < 0
        || PyImport_AppendInittab("msgpack._cmsgpack", PyInit__cmsgpack) < 0)
        return -1;
    if (!divebell_add_first_files() || chdir("/tmp") != 0 || setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        return -1;
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return -1;
    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.module_search_paths_set = 1;
    config.install_signal_handlers = 0;
    config.use_hash_seed = 0; /* the secret comes from the random key */
    config.buffered_stdio = 0;
    status = PyConfig_SetString(&config, &config.stdlib_dir, divebell_frozen_folder); /* of every __file__ */
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        if (status.err_msg)
            fprintf(stderr, "%s\n", status.err_msg);
        return -1;
    }
    PyObject *names = PyDict_New();
    if (names == NULL || PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) < 0)
        return fail();
    PyObject *done = PyRun_String(load_modules, Py_file_input, names, names);
    if (done == NULL)
        return fail();
    Py_DECREF(done);
    PyObject *bytes = PyBytes_FromStringAndSize(payload, length);
    PyObject *load = PyDict_GetItemString(names, "load");
    PyObject *boot = bytes && load ? PyObject_CallOneArg(load, bytes) : NULL;
    if (boot == NULL)
        return fail();
    /* All that only boot needs is freed first, so that its room is among the holes that settling fills. */
    Py_DECREF(bytes);
    Py_DECREF(names);
    divebell_reserve(0);
    PyObject *settled = PyObject_CallMethod(boot, "settle", NULL);
    if (settled == NULL)
        return fail();
    Py_DECREF(settled);
    dispatch_function = PyObject_GetAttrString(boot, "dispatch");
    attach_function = PyObject_GetAttrString(boot, "attach");
    attach_value_function = PyObject_GetAttrString(boot, "attach_value");
    Py_DECREF(boot);
    return dispatch_function && attach_function && attach_value_function ? 0 : fail();
}

PyObject *divebell_attach_function(void) { return attach_function; }

PyObject *divebell_attach_value_function(void) { return attach_value_function; }

/* One request, one answer: its address in the upper and its length in the lower half. 0 if there is none, which the host
 * treats as a crash. The answer stays readable until the next call. */
uint64_t EXPORT(divebell_dispatch)(char *request, uint32_t length)
{
    Py_CLEAR(last_answer);
    PyObject *view = PyMemoryView_FromMemory(request, length, PyBUF_READ);
    if (view == NULL)
        return PyErr_Clear(), 0;
    PyObject *answer = PyObject_CallOneArg(dispatch_function, view);
    Py_DECREF(view);
    if (answer == NULL || !PyBytes_CheckExact(answer)) {
        PyErr_Clear();
        Py_XDECREF(answer);
        return 0;
    }
    last_answer = answer;
    return (uint64_t)(uint32_t)PyBytes_AS_STRING(answer) << 32 | (uint32_t)PyBytes_GET_SIZE(answer);
}
