"""A str whose characters lie in shared pages is a str like any other, to all of CPython that takes one.

Its header lies apart from its characters ("not compact"), which CPython itself makes for subclasses of str only. Each
expression here is evaluated for such a text `s` and for an ordinary copy `o` of it, and must come out the same.
"""

import pytest

from divebell import Context, Limits, Sandbox
from tests.support.cells import value_of

TEXTS = {
    "ascii": "The 12 quick Brown foxes,\tjump over\nthe lazy dogs. " * 40,
    "latin1": "Zwölf Boxkämpfer jagen Éric über\nden großen Sylter Deich. " * 40,
    "ucs2": "いろはにほへと ちりぬるを\tわかよたれそ 常ならむ Ж. " * 60,
    "ucs4": "Deep 🤿 dive, 🐙 and 🐠 in the\nblue. \U0001d518 " * 60,
    "number": "7" * 600,
}
# fmt: off
EXPRESSIONS = (
    # comparing, hashing, keys, identity
    "hash({})", "{} == o", "o == {}", "{} in {{o}}", "o in {{ {}: 1 }}", "{{o: 1}}[{}]", "{} < o", "{} <= o", "sorted([{}, o])",
    "[o].index({})", "[o].count({})", "len({{ {}, o }})", "{}[:] == o", "({}, 1) == (o, 1)", "{} is not None", "len({})",
    # taking apart and putting together
    "{}[0], {}[-1], {}[5:50], {}[::-1], {}[::7]", "list({})[:99]", "tuple({})[-9:]", "{} + 'x'", "'x' + {}", "{} + {}", "{} * 2",
    "''.join([{}, o])", "{}.join(['a', 'b'])", "f'{{ {} }}|{{ {}!r:.50}}'", "'%s' % {}", "'{{}}'.format({})", "format({}, '3000')",
    "str({})", "repr({})", "ascii({})", "{}.splitlines()", "{}.split()", "{}.rsplit(None, 3)", "{}.split('.')", "{}.partition(' ')",
    "{}.rpartition('.')", "{}.strip()", "{}.lstrip('T')", "{}.rstrip('. ')", "{}.removeprefix('The')", "{}.removesuffix(' ')",
    "(lambda t: [t := t + c for c in 'abc'])({})[-1]", "{}.expandtabs()", "{}.ljust(4000) + {}.zfill(4000) + {}.center(4000)",
    # searching and replacing
    "{}.find('dog')", "{}.rfind('e')", "{}.index(' ')", "{}.count('e')", "'lazy' in {}", "o in {}", "{} in o", "{}.find(o)",
    "{}.startswith(o[:9])", "{}.endswith(o[-9:])", "{}.replace('e', '3')", "{}.replace(' ', '')", "{}.replace('.', '漢')",
    "{}.translate({{101: None, 32: '_'}})", "o.replace({}, 'all')", "o.split({})", "{}.find('\\0')",
    # characters
    "{}.upper()", "{}.lower()", "{}.title()", "{}.swapcase()", "{}.casefold()", "{}.capitalize()", "{}.isascii()", "{}.isalpha()",
    "{}.isdigit()", "{}.isspace()", "{}.isprintable()", "{}.isidentifier()", "{}.isdecimal()", "{}.islower()", "min({}), max({})",
    "ord({}[0])", "collections.Counter({})", "set({})", "str.maketrans(o[:5], o[:5])", "bytes(map(ord, filter(str.isascii, {})))",
    # bytes
    "{}.encode()", "{}.encode('utf-16')", "{}.encode('utf-32')", "{}.encode('ascii', 'replace')", "{}.encode('latin-1', 'ignore')",
    "{}.encode('unicode_escape')", "bytes({}, 'utf-8')", "bytearray({}, 'utf-8')", "io.BytesIO({}.encode()).read(99)",
    "hashlib.sha256({}.encode()).hexdigest()", "zlib.crc32({}.encode())", "base64.b64encode({}.encode())",
    # the C modules
    "re.findall(r'\\w+', {})", "re.sub('o', '0', {})", "re.split(r'\\s', {})", "[m.span() for m in re.finditer('(?i)e', {})]",
    "re.compile({}[:80]).pattern", "re.search(re.escape(o), {}) is not None", "re.fullmatch('(?s).*', {}).group() == o",
    "json.dumps({})", "json.dumps({}, ensure_ascii=False)", "json.loads(json.dumps({}))", "json.loads('\"' + {}.split()[0] + '\"')",
    "pickle.loads(pickle.dumps({}))", "pickle.loads(pickle.dumps([{}, {}], 0))[1]", "copy.deepcopy({})", "copy.copy({})",
    "marshal.loads(marshal.dumps({}))", "io.StringIO({}).read()", "io.StringIO({}).readlines()", "list(csv.reader([{}]))",
    "(lambda f: (f.write({}), f.getvalue()))(io.StringIO())", "list(csv.reader({}.splitlines()))", "textwrap.fill({}, 70)",
    "unicodedata.normalize('NFD', {})", "difflib.SequenceMatcher(None, {}[:99], o[:99]).ratio()", "html.escape({})",
    "urllib.parse.quote({})", "string.Template({}).safe_substitute()", "struct.pack('2000s', {}.encode())", "array.array('w', {})",
    "ast.literal_eval(repr({}))", "compile(repr({}), 'f', 'eval').co_consts", "eval(repr({}))", "decimal.Decimal(len({}))",
    "msgpack.unpackb(msgpack.packb({}))", "datetime.datetime(2026, 1, 1).strftime({}[:40])", "sys.intern({})", "statistics.mode({})",
    "xml.etree.ElementTree.fromstring('<a>' + html.escape({}) + '</a>').text", "operator.contains({}, 'e')", "shlex.quote({})",
    "functools.reduce(lambda a, b: a + 1, {}, 0)", "random.Random(1).sample({}, 9)", "random.Random({}).random()", "tomllib",
    # wrong uses, whose errors show the text
    "int({})", "float({})", "complex({})", "open({})", "getattr(1, {})", "__import__({})", "{}['a']", "{} + 1", "{}.encode('none')",
    "int({}, 36)", "fractions.Fraction({})", "decimal.Decimal({})", "datetime.date.fromisoformat({})", "type({}, (), {{}})",
    "time.strptime({}, '%Y')", "object.__getattribute__(1, {})", "{{}}[{}]", "codecs.lookup({})", "memoryview({})", "ord({})",
    # what changes or caches
    "({}.encode(), hash({}), {}.encode())", "setattr(box, {}, 1), getattr(box, o), vars(box)[{}]", "globals().__setitem__({}, 5), globals().pop(o)",
    "exec('x = 1', {{ {}: 2 }})", "(lambda **k: list(k)[0])(**{{ {}: 1 }})", "type(o[:3], (), {{ {}: 1 }}).__dict__[o]", "sys.getsizeof({}) > 500",
    "gc.collect() >= 0 and {}[-20:]", "weird({})", "Sub({}), hash(Sub({})), Sub({}) == o", "array.array('i', map(ord, {}))[:9]",
)
# fmt: on
SETUP = """
import ast, array, base64, codecs, collections, copy, csv, datetime, decimal, difflib, fractions, functools, gc, hashlib, html, io
import json, marshal, msgpack, operator, pickle, random, re, shlex, statistics, string, struct, sys, textwrap, time, tomllib
import unicodedata, urllib.parse, xml.etree.ElementTree, zlib
class Box: pass
class Sub(str): pass
box = Box()
def weird(text):
    parts = []
    for i in range(0, len(text), 100):
        parts.append(text[i:i + 100])
        text2 = text
        text2 += 'x'
    return ''.join(parts), len(text2)
def outcome(expression, name):
    try:
        return repr(eval(expression.replace('{{', '\\1').replace('}}', '\\2').replace('{}', name).replace('\\1', '{').replace('\\2', '}')))
    except Exception as error:
        return type(error).__name__ + ': ' + str(error)
"""


@pytest.mark.parametrize("kind", TEXTS)
def test_it_does_what_an_ordinary_str_does(kind: str) -> None:
    text = TEXTS[kind]
    with Sandbox([text, "x" * 600], limits=Limits(cell_seconds=60)) as box:
        box["o"] = text
        box["expressions"] = list(EXPRESSIONS)
        assert box.run(SETUP + "\ns = context[0]\nsys.getsizeof(s) - sys.getsizeof(o)").value in (
            4,
            12,
        )  # it is detached
        cell = box.run(
            "[(e, outcome(e, 's')[:300], outcome(e, 'o')[:300]) for e in expressions if outcome(e, 's') != outcome(e, 'o')]"
        )
        assert cell.value == [], cell.error
        assert box.run("s == o and o == s and hash(s) == hash(o) and s is context[0]").value is True
        assert box["context"] == [text, "x" * 600]


def test_most_of_these_expressions_say_something() -> None:
    """So that a typing mistake in the table does not compare two equal SyntaxErrors."""
    with Sandbox([TEXTS["ascii"]]) as box:
        box["o"] = TEXTS["ascii"]
        box["expressions"] = list(EXPRESSIONS)
        box.run(SETUP + "\ns = context[0]")
        wrong = box.run(
            "[(e, outcome(e, 's')) for e in expressions if outcome(e, 's').startswith(('SyntaxError', 'NameError'))]"
        )
        assert wrong.value == []
        assert value_of(box.run("sum(': ' not in outcome(e, 's')[:40] for e in expressions)")) >= len(EXPRESSIONS) - 45


def test_a_text_is_never_read_past_its_end() -> None:
    """The texts lie one after another, and each must end where CPython's C functions look for a zero."""
    texts = [str(number) * 600 for number in (1, 2)] + ["9" * 512, "8" * 513, "7" * 514, "6" * 515]
    with Sandbox(texts) as box:
        assert box.run("[int(text) == int(text[:]) == int('0' + text) for text in context]").value == [True] * 6
        assert (
            box.run("[float(text) > 1e307 for text in context], [text.encode()[-1:] for text in context]").error is None
        )
        assert [len(text) for text in box["context"]] == [len(text) for text in texts]
    for start in range(12):
        with Sandbox(Context.of("1" * 4096 + "2" * 9000).part(start, 4096 + start + 50)) as box:
            assert box.run("int(context[-60:]) == int(context[-60:][:]), str(int(context[:4000]))[-1]").value == [
                True,
                "1",
            ]
