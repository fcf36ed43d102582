"""`./build.sh bench-rlm`: the field's benchmarks, measured. --help says what there is."""

import argparse
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from divebell import Budget, DivebellError, Engine, Rate
from tests.bench.rlm import needles, oolong, pairs, plot, policies, questions, report
from tests.bench.rlm.instances import CHARACTERS_PER_TOKEN, DataError, Instance
from tests.bench.rlm.measure import SCRIPTED_DOLLARS, Measurement, Player, measure

TASKS = ("s-niah", "oolong", "pairs")
SIZES = (10**5, 10**6, 10**7, 10**8)
QUICK_SIZES = (10**4, 10**5)
MIN_SIZE, MAX_SIZE = 2_000, 2 * 10**9
MAX_REPEATS = 100
MAX_DELAY_SECONDS = 600.0
INTERRUPTED, USAGE = 130, 2
_EPILOG = """\
examples:
  ./build.sh bench-rlm --quick
  ./build.sh bench-rlm --json out.json --plot out.svg --markdown out.md
  ./build.sh bench-rlm --tasks s-niah --sizes 2^13t,2^16t,2^20t
  ./build.sh bench-rlm --model gpt-5 --sub-model gpt-5-mini --budget 0.50 --sizes 1e6
  ./build.sh bench-rlm --ruler niah_single_2.jsonl --oolong trec_coarse.jsonl --pairs oolong-pairs-32768.json

Contexts are generated offline from templates, the same ones for the same seed. Without --model, scripted policies play
the models; they cost nothing, and are billed as gpt-5 and gpt-5-mini would be. Real data sets are read from the files
named and never downloaded. Ctrl-C ends it and prints what was measured.
"""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    command = shlex.join(["./build.sh", "bench-rlm", *arguments])
    machine = report.machine()
    measured: list[Measurement] = []
    status = 0
    try:
        _check_outputs(options)
        if options.redraw:
            measured, command, machine = report.read_json(options.redraw)
        else:
            _measure_all(options, measured)
    except KeyboardInterrupt:
        print("interrupted: what follows was measured until then", file=sys.stderr)
        status = INTERRUPTED
    except (DataError, DivebellError, OSError) as error:
        print(f"bench-rlm: {error}", file=sys.stderr)
        status = USAGE
    try:
        if measured:
            _write(options, measured, command, machine)
    except OSError as error:
        print(f"bench-rlm: {error}", file=sys.stderr)
        status = status or USAGE
    return status


def _measure_all(options: argparse.Namespace, measured: list[Measurement]) -> None:
    """Measure everything that was asked for into `measured`, which has what there is if this is interrupted."""
    players = _players(options)
    with tempfile.TemporaryDirectory(prefix="bench-rlm-") as folder, Engine() as engine:
        _warm(engine, Path(folder))
        for instance in _instances(options, Path(folder)):
            for player in players:
                measured.append(_told(instance, player, engine))


def _told(instance: Instance, player: Player, engine: Engine) -> Measurement:
    """Measure, and say so on stderr."""
    what = f"{instance.task}, {instance.variant}, {instance.characters:,} characters, {player.policy}"
    print(f"{what} ... ", end="", file=sys.stderr, flush=True)
    try:
        one = measure(instance, player, engine)
    except BaseException:
        print(file=sys.stderr)
        raise
    print(one.error or f"score {one.score:.2f}, ${one.dollars:.4f}, {one.seconds:.2f} s", file=sys.stderr, flush=True)
    return one


def _check_outputs(options: argparse.Namespace) -> None:
    """Fail before anything is measured, not after."""
    for file in (options.json, options.plot, options.markdown):
        if file is not None and not file.absolute().parent.is_dir():
            raise DataError(f"{file} cannot be written: there is no folder {file.parent}")
    if options.plot:
        plot.check_can_draw(options.plot)


def _write(options: argparse.Namespace, measured: list[Measurement], command: str, machine: str) -> None:
    rows = report.summaries(measured)
    try:
        print(report.table(rows), flush=True)
    except BrokenPipeError:  # as with `| head`: the files are still wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if options.json:
        report.write_json(options.json, measured, command, machine)
    if options.plot:
        plot.draw(options.plot, rows)
    if options.markdown:
        report.write_markdown(options.markdown, rows, command, machine, options.plot)


def _warm(engine: Engine, folder: Path) -> None:
    """One query that is not counted: it compiles the guest where that was never done, and boots it."""
    measure(needles.make(MIN_SIZE, "noise", 0, folder), Player(policy="perfect"), engine)


def _instances(options: argparse.Namespace, folder: Path) -> Iterator[Instance]:
    if options.ruler or options.oolong or options.pairs:
        if options.ruler:
            yield from needles.load_instances(options.ruler, folder, options.limit)
        if options.pairs:
            if not options.oolong:
                raise DataError("--pairs has the questions only: name the file with their context too, with --oolong")
            yield from pairs.load_instances(options.pairs, options.oolong, folder, options.limit)
        elif options.oolong:
            yield from oolong.load_instances(options.oolong, folder, options.limit)
        return
    pool = questions.load(options.trec) if options.trec else questions.generated()
    makers: dict[str, tuple[tuple[str, ...], Callable[[int, str, int], Instance]]] = {
        "s-niah": (needles.HAYSTACKS, lambda size, variant, seed: needles.make(size, variant, seed, folder)),
        "oolong": (oolong.KINDS, lambda size, variant, seed: oolong.make(size, variant, seed, folder, pool)),
        "pairs": (pairs.VARIANTS, lambda size, variant, seed: pairs.make(size, variant, seed, folder, pool)),
    }
    for task in options.tasks:
        variants, make = makers[task]
        for size in options.sizes or (QUICK_SIZES if options.quick else SIZES):
            for number in range(options.repeats or (1 if options.quick else 3)):
                instance = make(size, variants[number % len(variants)], options.seed + number // len(variants))
                yield instance
                instance.context.unlink()


def _players(options: argparse.Namespace) -> list[Player]:
    rates = dict(_rate(text) for text in options.rate)
    Budget(dollars=options.budget)  # refuses what is no amount
    if options.model is None:
        if options.sub_model or options.base_url:
            raise DataError("--sub-model and --base-url are for a real endpoint: name its root model with --model")
        return [
            Player(policy=policy, dollars=options.budget or SCRIPTED_DOLLARS, delay_seconds=options.delay, rates=rates)
            for policy in options.policies
        ]
    if options.budget is None:
        raise DataError("--model calls a real endpoint: say what one query may cost, for example --budget 0.50")
    return [
        Player(
            policy=options.model,
            model=options.model,
            sub_model=options.sub_model,
            base_url=options.base_url,
            dollars=options.budget,
            rates=rates,
        )
    ]


def _rate(text: str) -> tuple[str, Rate]:
    found = re.fullmatch(r"(.+)=\$?([\d.]+)/\$?([\d.]+)", text)
    if found is None:
        raise DataError(
            f"--rate {text!r}: write it as NAME=INPUT/OUTPUT in dollars a million tokens, as my-model=0.25/2.00"
        )
    return found[1], Rate.per_million(found[2], found[3])


def size_of(text: str) -> int:
    """A size in characters: 100000, 1e5, 10^5, or in tokens: 2^13t."""
    number = text.strip().removesuffix("t")
    try:
        base, is_power, exponent = number.partition("^")
        size = int(base) ** int(exponent) if is_power and int(exponent) < 64 else int(float(number))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write 1e5, 10^5, or 2^13t for tokens") from None
    size *= CHARACTERS_PER_TOKEN if text.strip().endswith("t") else 1
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is out of range: from {MIN_SIZE:,} to {MAX_SIZE:,} characters")
    return size


def _sizes(text: str) -> list[int]:
    return [size_of(part) for part in text.split(",")]


def _choices(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [part.strip() for part in text.split(",")]
        unknown = [part for part in chosen if part not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(allowed)}")
        return chosen

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most:,}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MAX_DELAY_SECONDS:g}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-rlm",
        description="The field's benchmarks for Recursive Language Models: score, turns, calls, tokens, dollars, time and "
        "memory a query, as the context grows.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_measured(parser.add_argument_group("what is measured"))
    _add_models(parser.add_argument_group("who plays the models"))
    _add_real_data(parser.add_argument_group("real data sets, instead of generated ones"))
    _add_written(parser.add_argument_group("what is written, besides the table"))
    return parser


def _add_measured(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--tasks",
        type=_choices(TASKS),
        default=list(TASKS),
        metavar="LIST",
        help=f"of {', '.join(TASKS)}; all by default",
    )
    what.add_argument(
        "--sizes",
        type=_sizes,
        metavar="LIST",
        help="characters, as 1e5,1e6 (tokens: 2^13t); by default 1e5,1e6,1e7,1e8",
    )
    what.add_argument(
        "--policies",
        type=_choices(policies.POLICIES),
        default=list(policies.POLICIES),
        metavar="LIST",
        help=f"of {', '.join(policies.POLICIES)}; all by default",
    )
    what.add_argument(
        "--repeats",
        type=_whole(1, MAX_REPEATS),
        metavar="N",
        help="queries a task and size, each of another kind; 3 by default",
    )
    what.add_argument(
        "--seed", type=_whole(0, 10**9), default=1, metavar="N", help="of the generated data; 1 by default"
    )
    what.add_argument("--quick", action="store_true", help="1e4 and 1e5 characters, one query each")


def _add_models(models: argparse._ArgumentGroup) -> None:
    models.add_argument(
        "--model", metavar="NAME", help="a real root model, by its name at the endpoint ($OPENAI_API_KEY)"
    )
    models.add_argument("--sub-model", metavar="NAME", help="the model for sub-calls; by default the same")
    models.add_argument("--base-url", metavar="URL", help="an endpoint that speaks the Chat Completions API")
    models.add_argument("--budget", metavar="DOLLARS", help="what one query may cost; needed with --model")
    models.add_argument(
        "--rate",
        action="append",
        default=[],
        metavar="NAME=IN/OUT",
        help="dollars a million tokens, for a model whose price is not known",
    )
    models.add_argument(
        "--delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long a scripted model's call takes; 0 by default",
    )


def _add_real_data(real: argparse._ArgumentGroup) -> None:
    real.add_argument("--ruler", type=Path, metavar="FILE", help="needle tasks as RULER's niah.py writes them (.jsonl)")
    real.add_argument("--oolong", type=Path, metavar="FILE", help="rows of oolong-synth (.jsonl, .json, .parquet)")
    real.add_argument(
        "--pairs", type=Path, metavar="FILE", help="oolong-pairs (.json); its context is looked for in --oolong"
    )
    real.add_argument(
        "--trec", type=Path, metavar="FILE", help="generate rows from OOLONG's trec_coarse_validated.jsonl"
    )
    real.add_argument(
        "--limit", type=_whole(1, 100_000), default=10, metavar="N", help="records of each file; 10 by default"
    )


def _add_written(out: argparse._ArgumentGroup) -> None:
    out.add_argument("--json", type=Path, metavar="FILE", help="every query")
    out.add_argument("--plot", type=Path, metavar="FILE", help="the picture (.svg, .png); needs matplotlib")
    out.add_argument(
        "--redraw", type=Path, metavar="FILE", help="measure nothing: print, draw and write from an earlier --json"
    )
    out.add_argument("--markdown", type=Path, metavar="FILE", help="a page with the picture and the table")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
