"""What led from a guest to EL2, in words, from QEMU's name of the exception and the syndrome."""

# ESR_EL2.EC of what leads to EL2; the syndrome of a trapped register has Op0, Op2, Op1, CRn, Rt, CRm, direction.
CLASSES = {0x01: "WFI or WFE", 0x16: "HVC", 0x17: "SMC", 0x20: "instruction abort", 0x24: "data abort"}
TRAPPED_REGISTER = 0x18
DATA_ABORT = 0x24
REGISTERS = {(3, 0, 0, 6, 0): "ID_AA64ISAR0_EL1", (3, 0, 12, 11, 5): "ICC_SGI1R_EL1"}


def register(iss: int) -> str:
    """The register of a trap's syndrome, by name or by encoding."""
    op0, op2, op1, crn, crm = iss >> 20 & 3, iss >> 17 & 7, iss >> 14 & 7, iss >> 10 & 15, iss >> 1 & 15
    known = REGISTERS.get((op0, op1, crn, crm, op2))
    if not known and (op0, op1, crn) == (3, 0, 0):
        known = "other ID registers"
    return f"{known or f'S{op0}_{op1}_C{crn}_C{crm}_{op2}'} {'read' if iss & 1 else 'write'}"


def named(kind: str, syndrome: int) -> str:
    """One exit in words."""
    if kind in ("IRQ", "FIQ", "SError"):
        return kind
    ec, iss = syndrome >> 26, syndrome & 0x1ffffff
    if ec == TRAPPED_REGISTER:
        return register(iss)
    word = CLASSES.get(ec, f"class {ec:#x}")
    return f"{word}, {'write' if iss & 0x40 else 'read'}" if ec == DATA_ABORT else word
