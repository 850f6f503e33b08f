"""What is said about hostile cases: a line for each, JSON, JUnit."""

import json
import xml.etree.ElementTree as xml
from dataclasses import asdict
from pathlib import Path

from .run import Result


def tell(result: Result) -> None:
    """One line about one case."""
    word = "ok" if result.passed else "FAIL"
    print(f"{word:<5} {result.machine} {result.case} {result.verdict} ({result.seconds:.1f} s) {result.what}", flush=True)
    if not result.passed:
        if result.verdict != result.expected:
            print(f"      {result.verdict} where {result.expected} was expected")
        for text in [*result.broken, *filter(None, [result.detail])]:
            print(f"      {text}", flush=True)


def tell_sabotaged(result: Result) -> None:
    """The same where every expectation is wrong: a failure is as it should be."""
    told = "FAIL  {} {} passes although it is sabotaged" if result.passed else "ok    {} {} fails when sabotaged"
    print(told.format(result.machine, result.case), flush=True)


def finish(results: list[Result], folder: Path, sabotage: bool) -> int:
    """Writes the files and the last line; gives how many cases failed, which with `sabotage` are those that did not fail."""
    bad = [result for result in results if result.passed == sabotage]
    rows = [asdict(result) | {"passed": result.passed} for result in results]
    name = "hostile-sabotage" if sabotage else "hostile"
    (folder / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    suite = xml.Element("testsuite", name=name, tests=str(len(results)), failures=str(len(bad)))
    for result in results:
        test = xml.SubElement(suite, "testcase", classname=f"{name}.{result.machine}", name=result.case,
                              time=f"{result.seconds:.3f}")
        if result in bad:
            message = "it passed although it was sabotaged" if sabotage else "; ".join(
                [f"{result.verdict}, not {result.expected}", *result.broken, result.detail])
            xml.SubElement(test, "failure", message=message)
    xml.ElementTree(suite).write(folder / f"{name}-junit.xml", encoding="utf-8", xml_declaration=True)
    if sabotage:
        print(f"{len(results) - len(bad)} cases failed when sabotaged, {len(bad)} did not")
    else:
        print(f"{len(results) - len(bad)} passed, {len(bad)} failed")
    return len(bad)
