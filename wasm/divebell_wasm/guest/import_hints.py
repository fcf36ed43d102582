"""The message of an import that fails: what there is in place of the module.

The error stays a ModuleNotFoundError that begins as CPython's does, so `except ImportError`, and code that reads the
name out of the message, go on working; and importlib.util.find_spec gives None as before.
"""

import _frozen_importlib
import _imp
import contextlib
import difflib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

CLOSE_ENOUGH = 0.8  # of a misspelt name to a module's; difflib's measure, 1.0 is the same
MAX_NAME_CHARACTERS = 100  # of a name that is compared with others

# Kinds of packages: what they are for, in words, the modules here that do some of it, and their import names. A module
# that is not in this build is not named.
_KINDS: tuple[tuple[str, str, str], ...] = (
    (
        "for numbers there are {}",
        "math statistics decimal fractions random array lists",
        "numpy scipy cupy numba sympy mpmath statsmodels pingouin bottleneck numexpr jax",
    ),
    (
        "for tables there are {}",
        "csv json sqlite3 collections itertools statistics tabulate lists dicts",
        "pandas polars pyarrow dask duckdb modin vaex datatable pandasql openpyxl xlrd xlwt xlsxwriter pyexcel "
        "fastparquet h5py xarray geopandas petl agate",
    ),
    (
        "for learning and vectors there are {}, or ask a model with llm_query(prompt)",
        "statistics math random collections",
        "sklearn torch tensorflow keras xgboost lightgbm catboost sentence_transformers faiss hnswlib annoy chromadb "
        "umap hdbscan torchvision torchaudio evaluate rank_bm25 datasets",
    ),
    (
        "to ask a model call llm_query(prompt), or llm_query_batched(prompts) for many at once",
        "",
        "openai anthropic litellm transformers langchain langchain_core langchain_openai langchain_community "
        "llama_index cohere mistralai ollama vllm llama_cpp groq together replicate google vertexai dspy rlm guidance "
        "instructor outlines huggingface_hub haystack autogen crewai smolagents boto3 botocore",
    ),
    (
        "for words and sentences there are {}, or ask a model with llm_query(prompt)",
        "re difflib unicodedata collections textwrap str",
        "nltk spacy textblob gensim stanza flair pattern polyglot jieba langdetect langid pyphen inflect wordcloud "
        "textstat contractions spellchecker yake sumy ftfy unidecode emoji",
    ),
    (
        "tokens are about len(text) / 4; the limits of this run are in budget()",
        "",
        "tiktoken tokenizers sentencepiece",
    ),
    ("for patterns there is {}", "re", "regex re2 hyperscan pyparsing lark ply parsimonious flashtext ahocorasick"),
    (
        "for likeness of texts there are {}",
        "difflib",
        "rapidfuzz fuzzywuzzy thefuzz Levenshtein jellyfish textdistance editdistance polyleven dedupe recordlinkage",
    ),
    (
        "for HTML and XML there are {}",
        "bs4 html.parser xml.etree.ElementTree html",
        "lxml html5lib parsel selectolax pyquery xmltodict cssselect html2text markdownify readability trafilatura "
        "newspaper justext inscriptis defusedxml feedparser",
    ),
    (
        "for such formats there are {}",
        "json tomllib csv configparser ast re",
        "yaml ruamel toml tomli tomlkit ujson orjson simplejson rapidjson json5 demjson3 jsonlines jsonschema hjson "
        "json_repair msgspec cbor2 bson protobuf avro jmespath jsonpath_ng markdown mistune",
    ),
    (
        "for records there are {}",
        "dataclasses typing json collections",
        "pydantic attr attrs marshmallow cattrs voluptuous cerberus schema typeguard beartype",
    ),
    (
        "there is no network in this sandbox: what is to be read is in `context`, and tools are functions",
        "",
        "requests httpx aiohttp urllib3 httplib2 pycurl selenium playwright scrapy mechanize websocket websockets "
        "paramiko fabric grpc zmq pika kafka wikipedia wikipediaapi yfinance praw tweepy serpapi duckduckgo_search "
        "googlesearch tavily exa_py firecrawl certifi",
    ),
    (
        "nothing can be drawn or shown here: print text",
        "textwrap tabulate",
        "matplotlib seaborn plotly altair bokeh PIL cv2 skimage imageio pygal graphviz pydot pytesseract easyocr "
        "pyautogui pygame moviepy",
    ),
    (
        "to show text there are {}",
        "print textwrap pprint logging tabulate",
        "tqdm rich colorama termcolor click typer fire prettytable texttable loguru structlog blessed",
    ),
    (
        "documents cannot be opened here: their text, if there is any, is in `context`",
        "",
        "pypdf PyPDF2 fitz pymupdf pdfplumber pdfminer docx docx2txt pptx odf reportlab fpdf unstructured camelot "
        "tabula tika textract magic ebooklib",
    ),
    (
        "for dates there are {}",
        "datetime dateutil zoneinfo calendar time",
        "pytz arrow pendulum dateparser maya delorean ciso8601 parsedatetime holidays humanize babel tzlocal",
    ),
    (
        "all time zones are there: zoneinfo.ZoneInfo('Europe/Paris'), dateutil.tz.gettz('Europe/Paris')",
        "",
        "tzdata",
    ),
    (
        "for encodings there is bytes.decode(encoding, errors='replace'), and {}",
        "codecs",
        "chardet charset_normalizer cchardet",
    ),
    (
        "for graphs there are {}",
        "collections heapq graphlib dicts sets",
        "networkx igraph graph_tool rustworkx",
    ),
    (
        "databases outside cannot be reached; in memory there are {}",
        "sqlite3 collections lists dicts",
        "psycopg psycopg2 asyncpg sqlalchemy pymysql MySQLdb mysql pymongo redis peewee tinydb elasticsearch "
        "opensearchpy cassandra neo4j snowflake pinecone weaviate qdrant_client lancedb",
    ),
    (
        "a cell may `await`, and asyncio.run works inside of a running loop, so nothing has to be patched",
        "",
        "nest_asyncio uvloop",
    ),
    (
        "to do many calls at once there are llm_query_batched(prompts), asyncio.gather and {}",
        "concurrent.futures asyncio",
        "joblib ray gevent eventlet trio anyio curio tenacity backoff retry retrying ratelimit aiofiles pqdm celery",
    ),
    ("to test there are {}", "unittest doctest assert", "pytest nose hypothesis mock faker freezegun"),
    (
        "for hashes and secrets there are {}",
        "hashlib hmac secrets base64",
        "cryptography Crypto nacl bcrypt jwt passlib xxhash mmh3 blake3",
    ),
    (
        "there is no notebook, server or shell around this code",
        "",
        "IPython ipywidgets notebook jupyter nbformat streamlit gradio flask django fastapi starlette uvicorn dash sh "
        "pexpect psutil dotenv decouple",
    ),
    (
        "for such helpers there are {}",
        "itertools functools collections operator",
        "toolz cytoolz funcy boltons pydash frozendict addict box munch cachetools diskcache pyrsistent",
    ),
    ("nothing can be installed", "", "pip setuptools pkg_resources wheel conda distutils ensurepip venv"),
    # Parts of the standard library that are left out.
    (
        "there is no network in this sandbox",
        "",
        "ssl _ssl ftplib imaplib poplib smtplib http.server xmlrpc wsgiref telnetlib nntplib",
    ),
    (
        "there is no screen and no terminal here: print text",
        "",
        "tkinter _tkinter turtle curses _curses readline tty pty termios webbrowser idlelib turtledemo msvcrt winsound",
    ),
    (
        "there are no processes and no foreign code here",
        "",
        "ctypes _ctypes _posixsubprocess _winapi cffi cython pyximport",
    ),
    ("work in memory, with {}", "dicts json pickle sqlite3 shelve", "mmap"),
    (
        "there is no operating system around this sandbox",
        "",
        "fcntl pwd grp resource syslog spwd winreg nis crypt",
    ),
)

_NO_MODULES = frozenset({"lists", "dicts", "sets", "str", "print", "assert"})  # words of the second column
_kind_of = {name: (words, modules) for words, modules, names in _KINDS for name in names.split()}
_original: Callable[[str, Any], Any] = vars(_frozen_importlib)["_find_and_load_unlocked"]


def hint_for(name: str) -> str:
    """What there is in place of the module of this name, in one sentence without its full stop."""
    top = name.partition(".")[0]
    kind = _kind_of.get(name) or _kind_of.get(top)
    what = f"{top if top in _kind_of else name} is not in this sandbox, and nothing can be installed"
    if kind is None:
        return _hint_for_unknown(name, top)
    words, modules = kind
    there = [module for module in modules.split() if module in _NO_MODULES or _is_there(module)]
    if "nothing can be installed" in words:
        return f"{name} is not in this sandbox; {words}"
    return f"{what}; {words.format(_join_names(there))}"


def _hint_for_unknown(name: str, top: str) -> str:
    if top.startswith("_"):  # an accelerator that other code tries first
        return "it is not in this sandbox"
    if top != name and (top in sys.modules or _is_there(top)):
        return f"{top} is in this sandbox, without this part of it"
    if top in sys.stdlib_module_names:
        return "this part of Python's standard library is not in this sandbox, because it could do nothing here"
    near = difflib.get_close_matches(top[:MAX_NAME_CHARACTERS], _importable(), 1, CLOSE_ENOUGH)
    if near:
        return f"it is not in this sandbox; did you mean {near[0]}?"
    return (
        "it is not in this sandbox, and nothing can be installed; there are Python's standard library and "
        + _join_names(_packages())
    )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _frozen_names() -> set[str]:
    return {name.partition(".")[0] for name in _imp._frozen_module_names()}  # type: ignore[attr-defined]


def _importable() -> list[str]:
    return sorted(name for name in _frozen_names() | set(sys.builtin_module_names) if not name.startswith("_"))


def _packages() -> list[str]:
    """The packages that are frozen beside the standard library."""
    return sorted(name for name in _frozen_names() - sys.stdlib_module_names if not name.startswith("_"))


def _join_names(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _find_and_load_unlocked(name: str, import_: Any) -> Any:
    try:
        return _original(name, import_)
    except ModuleNotFoundError as error:
        if error.name == name and error.msg == f"No module named {name!r}":
            with contextlib.suppress(Exception):  # of what a cell may have put into other modules
                error.msg = f"No module named {name!r}: {hint_for(name)}"
                error.args = (error.msg,)
        raise


def install() -> None:
    # CPython leaves frames of this file name out of the tracebacks of failed imports.
    code = _find_and_load_unlocked.__code__
    _find_and_load_unlocked.__code__ = code.replace(co_filename=_original.__code__.co_filename)
    vars(_frozen_importlib)["_find_and_load_unlocked"] = _find_and_load_unlocked
