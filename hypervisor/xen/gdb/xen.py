# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen's own views in gdb, through the debug information of its build: domains, vCPUs, who runs where, p2m types and EPT entries by name.
Written to RUN/cache/ and loaded by vitrine gdb. Works on any gdb that sees a Xen with debug information."""
import gdb

NO_DWARF = ("these symbols have no debug information, so the layout of Xen's structures is not known. Build a Xen that has it "
            "(hypervisor/xen/build) and run that, or use the machine's own views: monitor help")
IN_GUEST = ("no processor is in VMX root operation, and Xen's memory is not mapped while a guest runs: go to the next VM exit first "
            "(monitor stop-on vm-exit, then continue)")
MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB", 7: "recalculate"}


def lookup(name):
    try:
        return gdb.lookup_type(name)
    except gdb.error:
        return None


def has_dwarf():
    return lookup("struct domain") is not None and lookup("struct vcpu") is not None


def in_root():
    """Is the selected processor where Xen's memory is mapped? A debugger of another machine has no $vmx."""
    vmx = gdb.selected_frame().read_register("vmx") if "vmx" in {r.name for r in gdb.selected_frame().architecture().registers()} else None
    return vmx is None or int(vmx) != 2   # off, root, non_root


class InXen:
    """Selects a processor in VMX root operation while something of Xen is read."""

    def __enter__(self):
        self.thread, self.frame = gdb.selected_thread(), gdb.selected_frame()
        if in_root():
            return self
        for t in sorted(gdb.selected_inferior().threads(), key=lambda t: t.num):
            t.switch()
            if in_root():
                return self
        self.thread.switch()
        raise gdb.GdbError(IN_GUEST)

    def __exit__(self, *_):
        self.thread.switch()
        self.frame.select()


def domains():
    d = gdb.parse_and_eval("domain_list")
    seen = set()
    while int(d) and int(d) not in seen:
        seen.add(int(d))
        yield d.dereference()
        d = d["next_in_list"]


def domain_name(number):
    return {0x7ff0: "self", 0x7ff1: "IO", 0x7ff2: "Xen", 0x7ff4: "COW", 0x7ffe: "idle", 0x7fff: "idle"}.get(number, f"d{number}")


def vcpus(domain):
    for n in range(int(domain["max_vcpus"])):
        v = domain["vcpu"][n]
        if int(v):
            yield v.dereference()


def vcpu_name(v):
    return f"{domain_name(int(v['domain']['domain_id']))}v{int(v['vcpu_id'])}"


def field(value, *names):
    """A member, wherever this version of Xen has it; None: nowhere."""
    for name in names:
        try:
            v = value
            for part in name.split("."):
                v = v[part]
            return v
        except gdb.error:
            continue
    return None


def running():
    """Processor -> the vCPU whose state it has (while idle, that may be the one before)."""
    here = gdb.parse_and_eval("&per_cpu__curr_vcpu")
    kind = here.type
    offsets = gdb.parse_and_eval("__per_cpu_offset")
    out = {}
    for t in gdb.selected_inferior().threads():
        cpu = t.num - 1
        try:
            v = gdb.Value(int(here) + int(offsets[cpu]) & (1 << 64) - 1).cast(kind).dereference()
            out[cpu] = v.dereference() if int(v) else None
            if out[cpu] is not None:
                int(out[cpu]["vcpu_id"])
        except gdb.error:   # that processor is not up yet
            out[cpu] = None
    return out


def need_dwarf():
    if not has_dwarf():
        raise gdb.GdbError("xen: " + NO_DWARF)


class Xen(gdb.Command):
    """Xen's structures: xen domains, xen vcpus, xen current, xen entry VALUE, xen p2m-type NUMBER."""

    def __init__(self):
        super().__init__("xen", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class Part(gdb.Command):
    def __init__(self):
        super().__init__("xen " + self.name, gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _tty):
        need_dwarf()
        with InXen():
            try:
                self.show(argument)
            except gdb.MemoryError as e:
                raise gdb.GdbError(f"xen {self.name}: {e}: Xen is not that far yet, or its memory is not mapped here")


class Domains(Part):
    """xen domains: all of them, with what they have."""
    name = "domains"

    def show(self, _argument):
        all_ = list(domains())
        if not all_:
            print("Xen has no domain yet")
        for d in all_:
            shared = field(d, "iommu.hap_pt_share")
            print(f"{domain_name(int(d['domain_id'])):<5} struct domain {int(d.address):#x}  {int(d['max_vcpus'])} vCPUs  {int(d['tot_pages'])} of {int(d['max_pages'])} pages"
                  + ("  privileged" if int(d["is_privileged"]) else "") + ("  IOMMU shares the p2m" if shared is not None and int(shared) else "")
                  + ("  dying" if int(d["is_dying"]) else ""))


class Vcpus(Part):
    """xen vcpus: all vCPUs, where they are and what they do."""
    name = "vcpus"
    STATES = {0: "running", 1: "runnable", 2: "blocked", 3: "offline"}

    def show(self, _argument):
        count = 0
        for d in domains():
            for v in vcpus(d):
                count += 1
                state = self.STATES.get(int(v["runstate"]["state"]), "?")
                print(f"{vcpu_name(v):<8} struct vcpu {int(v.address):#x}  processor {int(v['processor'])}  {state}" + ("  paused" if int(v["pause_flags"]) else ""))
        if not count:
            print("Xen has no vCPU of a domain yet")


class Current(Part):
    """xen current: the vCPU of each processor."""
    name = "current"

    def show(self, _argument):
        for cpu, v in sorted(running().items()):
            print(f"cpu {cpu}: " + (f"{vcpu_name(v)}, struct vcpu {int(v.address):#x}" if v is not None else "none yet"))


def p2m_type_name(number):
    t = lookup("p2m_type_t")
    for f in t.strip_typedefs().fields() if t else []:
        if f.enumval == number:
            return f.name.removeprefix("p2m_")
    return f"type-{number}"


def access_name(number):
    t = lookup("p2m_access_t")
    for f in t.strip_typedefs().fields() if t else []:
        if f.enumval == number:
            return f.name.removeprefix("p2m_access_")
    return f"access-{number}"


def entry_text(e):
    rights = "".join(c if e >> n & 1 else "-" for n, c in enumerate("rwx"))
    kind = f"{p2m_type_name(e >> 52 & 0x3f)}, access {access_name(e >> 58 & 0xf)}"
    if not e & 7:
        return f"{e:#018x}: not present, {kind}"
    return (f"{e:#018x}: mfn {e >> 12 & (1 << 40) - 1:#x} {rights} {kind}, {MEMORY_TYPES.get(e >> 3 & 7, 'reserved type')}"
            + (" ignoring PAT" if e >> 6 & 1 else "") + (", superpage" if e >> 7 & 1 else ""))


class Entry(gdb.Command):
    """xen entry VALUE: an EPT entry (a number, or an expression of type ept_entry_t) in Xen's words."""

    def __init__(self):
        super().__init__("xen entry", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _tty):
        need_dwarf()
        v = gdb.parse_and_eval(argument)
        print(entry_text(int(v["epte"] if v.type.strip_typedefs().code == gdb.TYPE_CODE_UNION else v) & (1 << 64) - 1))


class P2mType(gdb.Command):
    """xen p2m-type NUMBER: the name of a p2m type."""

    def __init__(self):
        super().__init__("xen p2m-type", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _tty):
        need_dwarf()
        print(p2m_type_name(int(gdb.parse_and_eval(argument))))


class EntryPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return entry_text(int(self.value["epte"]) & (1 << 64) - 1)


class TypePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return f"{p2m_type_name(int(self.value))} ({int(self.value)})"


class VcpuPrinter:
    """A pointer to a vCPU by its name: d0v0."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        at = int(self.value)
        try:
            return f"{at:#x} {vcpu_name(self.value.dereference())}" if at else "0x0"
        except gdb.error:
            return f"{at:#x}"


def printer(value):
    name = value.type.unqualified().name
    if name == "ept_entry_t":
        return EntryPrinter(value)
    if name == "p2m_type_t":
        return TypePrinter(value)
    kind = value.type.strip_typedefs()
    if kind.code == gdb.TYPE_CODE_PTR and kind.target().unqualified().strip_typedefs().name == "vcpu":
        return VcpuPrinter(value)
    return None


for command in (Xen, Domains, Vcpus, Current, Entry, P2mType):
    command()
gdb.pretty_printers.append(printer)
