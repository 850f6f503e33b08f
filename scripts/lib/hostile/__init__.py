"""The hostile guest's runner: its cases, the shell it drives, the invariants it checks after each case."""
