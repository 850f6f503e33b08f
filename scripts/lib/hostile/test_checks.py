"""Every checker of the hostile runner sees what it is to see, and nothing else. Run by `scripts/check runner`."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from lib.hostile import cases, images, invariants, plays, report
from lib.hostile.invariants import Beat
from lib.hostile.run import Result
from lib.hostile.shell import Refused, Shell, Wrong
from lib.serial import Failed

LINE = "VICTIM beat=100 sum=0xabc bad=0 late=1,2,3,4,5,6,7 max_us=8"
MEM = {"free_bytes": 100, "largest_free_block_bytes": 50, "vmids_in_use": 2, "interrupts_in_use": 0,
       "host_heap_used_bytes": 1000}


class Invariants(unittest.TestCase):
    def test_the_shell_has_a_second(self):
        self.assertEqual(invariants.answered(0.9), [])
        self.assertTrue(invariants.answered(1.1))
        self.assertEqual(invariants.answered(1.1, 2.0), [])

    def test_the_last_beat_of_a_victim_counts(self):
        self.assertEqual(invariants.beat_of(["x", LINE.replace("100", "75"), LINE, "VICTIM beat=125 su"]),
                         Beat(100, "0xabc", 0, [1, 2, 3, 4, 5, 6, 7], 8))
        self.assertIsNone(invariants.beat_of(["VICTIM"]))

    def test_a_victim_that_was_disturbed_is_seen(self):
        before = Beat(100, "0xabc", 1)
        for state, after, fine in [
            ("running", Beat(101, "0xabc", 1), True), ("stopped", Beat(101, "0xabc", 1), False),
            ("running", Beat(100, "0xabc", 1), False), ("running", None, False),
            ("running", Beat(101, "0xabd", 1), False), ("running", Beat(101, "0xabc", 2), False),
        ]:
            self.assertEqual(invariants.undisturbed("v", state, before, after) == [], fine, (state, after))

    def test_a_vm_that_does_not_explain_itself_is_seen(self):
        vcpu = {"vcpu": 0, "exits": 1, "pc": "0x1", "syndrome": "0x2", "fault_address": "0x0"}
        good = {"state": "stopped", "reason": "x", "vcpus": [vcpu]}
        self.assertEqual(invariants.explained(good), [])
        self.assertEqual(invariants.explained(good | {"vcpus": [vcpu, {"vcpu": 1, "exits": 0}]}), [])
        for wrong in [{"state": "running"}, {"reason": ""}, {"vcpus": []}, *({"vcpus": [vcpu | {place: None}]}
                                                                           for place in invariants.PLACES)]:
            self.assertTrue(invariants.explained(good | wrong), wrong)

    def test_everything_that_is_not_given_back_is_seen(self):
        self.assertEqual(invariants.given_back(MEM, MEM), [])
        for what in ["free_bytes", "largest_free_block_bytes", "vmids_in_use", "interrupts_in_use"]:
            for change in (-1, 1):
                self.assertTrue(invariants.given_back(MEM, MEM | {what: MEM[what] + change}), what)
        heap = MEM["host_heap_used_bytes"] + invariants.HEAP_SLACK
        self.assertEqual(invariants.given_back(MEM, MEM | {"host_heap_used_bytes": heap}), [])
        self.assertTrue(invariants.given_back(MEM, MEM | {"host_heap_used_bytes": heap + 1}))


class Line:
    """A serial line whose machine answers from a table."""

    factor = 1.0

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.text = ""
        self.read_to = 0

    def note(self, text: str) -> None:
        pass

    def pause(self, seconds: float) -> None:
        pass

    def type(self, text: str) -> None:
        self.text += f"axle> {text.strip()}\n" + self.answers.get(text.strip(), "") + "axle> "

    def expect(self, pattern, least_s: float, most_s: float):
        if not (match := pattern.search(self.text, self.read_to)):
            raise Failed("did not appear")
        return match


def shell(**answers: str) -> Shell:
    return Shell(Line({command.replace("_", " "): text for command, text in answers.items()}))


class TheShell(unittest.TestCase):
    def test_an_answer_an_error_and_silence_are_told_apart(self):
        asked = shell(vm_start_a="loading: 0.4sstarted a\n", vm_start_b="error: b is running already\n")
        asked.start("a")
        with self.assertRaisesRegex(Refused, "b is running already"):
            asked.start("b")
        with self.assertRaises(Failed):
            asked.start("c")

    def test_the_echo_of_a_command_is_no_answer(self):
        play = plays.Play(shell(vm_reset_hostile="error: no\n"), cases.Case("A1", ""), False, [])
        self.assertEqual(plays.command(play, "reset"), "no")


class Verdicts(unittest.TestCase):
    def verdict(self, *lines: str) -> str:
        play = plays.Play(shell(), cases.Case("A1", ""), False, [])
        with mock.patch.object(play, "said", lambda: list(lines)):
            return play.verdict()

    def test_the_last_verdict_counts_and_none_is_wrong(self):
        self.assertEqual(self.verdict("VERDICT hostile A1 PASS"), "PASS")
        self.assertEqual(self.verdict("VERDICT hostile A1 PASS", "VERDICT hostile A1 FAIL why"), "FAIL")
        with self.assertRaises(Wrong):
            self.verdict("nothing")

    def test_a_result_passes_only_as_expected_and_unbroken(self):
        result = Result("m", "A1", "", "REJECT", "REJECT", 0.0)
        self.assertTrue(result.passed)
        self.assertFalse(Result("m", "A1", "", "REJECT", "PASS", 0.0).passed)
        self.assertFalse(Result("m", "A1", "", "REJECT", "REJECT", 0.0, ["I1: no"]).passed)

    def test_sabotage_turns_passing_into_failing(self):
        good, bad = Result("m", "A1", "", "PASS", "PASS", 0.0), Result("m", "A1", "", "PASS", "FAIL", 0.0)
        with tempfile.TemporaryDirectory() as folder, mock.patch("builtins.print"):
            self.assertEqual(report.finish([good, bad, bad], Path(folder), False), 2)
            self.assertEqual(report.finish([good, bad, bad], Path(folder), True), 1)

    def test_sabotage_breaks_what_holds(self):
        play = plays.Play(shell(), cases.Case("A1", ""), True, [])
        with self.assertRaises(Wrong):
            play.holds("x", True)


class TheTable(unittest.TestCase):
    def test_every_case_has_a_play_and_what_it_needs(self):
        known = cases.read()
        self.assertGreaterEqual(len(known), 75)
        for case in known:
            self.assertIn(case.play, plays.PLAYS, case.id)
            self.assertTrue(case.what, case.id)

    def test_every_broken_file_is_refused_by_some_case(self):
        named = {name for case in cases.read() for name in case.values.get("files", {})}
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(images, "GOOD") as good:
            good.read_bytes.return_value = bytes(64)
            with mock.patch.object(images, "bombs", lambda: [("bomb", b""), ("bomb-members", b"")]):
                made = {path.stem for path in images.make(Path(folder))}
        self.assertEqual(made - named, set())


if __name__ == "__main__":
    unittest.main()
