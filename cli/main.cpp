// SPDX-License-Identifier: GPL-2.0-or-later
/// The command line: which verbs and options there are.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <new>

#include "emu/bus.hpp"
#include "firmware/image.hpp"
#include "hypervisor/symbols.hpp"
#include "sandbox.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

/// Options that the design has and this version has not: they are refused by name, never ignored.
constexpr const char* kLaterRunOptions[] = {"--reboot"};

constexpr const char* kRunAt = "Run directory, or RUN@T: any moment of it. T: step number, 37%, end, console:'text', exit#N, exit:NAME, entry#N, sym:NAME[#n]";
constexpr const char* kFooter =
    "Exit status: 0 ran as expected; 1 a finding, or a reset, triple fault or halt for good; 2 usage; 3 something not modelled;\n"
    "4 a bad input file; 5 a replay diverged; 70 an error of vitrine itself; 124 a step limit; 130 Ctrl-C. A guest that writes to the exit device\n"
    "(port 0xf4) gives the status itself.";

void platform_options(CLI::App& a, PlatformOptions& o) {
  a.add_option("--platform", o.platform, "Platform description, JSON (default: q35-like, 2 GiB, one VT-d unit)")->type_name("P.json");
  a.add_option("--cpu", o.cpu, "CPU model and feature switches")->type_name("MODEL,+f,-f");
  a.add_option("--memory", o.memory, "RAM, laid out as on q35 (default 2G); not with a platform that has an E820 of its own")->type_name("SIZE");
  a.add_option("--cpus", o.cpus, "Logical processors, 1 to 8")->type_name("N");
  a.add_option("--device", o.devices, "One more device: nvme, ahci, virtio-net, dma, edu, pci-testdev at a free place or at=BDF; isa-debug-exit[,iobase=PORT][,iosize=N], pc-testdev,\nfw-cfg (docs/devices.md)")->type_name("MODEL[,...]")->allow_extra_args(false);
}

void run_options(CLI::App& a, RunOptions& o) {
  platform_options(a, o.platform);
  a.add_option("--kernel", o.kernel, "Multiboot 1/2 ELF (Xen), bzImage or PVH ELF; gzip or plain")->type_name("FILE");
  a.add_option("--protocol", o.protocol, "How the kernel is started: linux, multiboot1, multiboot2 or pvh (default: the first of these that it offers)")->type_name("NAME");
  a.add_option("--append", o.append, "Command line of the kernel (its file name is put before it)")->type_name("TEXT");
  a.add_option("--module", o.modules, "Multiboot module with its arguments; with Xen the first is dom0's kernel, the second its initramfs")
      ->type_name("'FILE ARGS'")->allow_extra_args(false);
  a.add_option("--initrd", o.initrd, "Initramfs of a bzImage or PVH kernel")->type_name("FILE");
  a.add_option("--disk", o.disks, "Raw disk image, at an NVMe controller of its own (default) or an AHCI port; it is only read, what the guest writes is kept in DIR")
      ->type_name("FILE[,if=nvme|ahci]")->allow_extra_args(false);
  a.add_flag("--disk-commit", o.disk_commit, "If the run ends with status 0, put what was written into the images");
  a.add_option("--poke", o.poke, "Write to physical memory from outside when TEXT is printed for the first time, or before a step: a broken table entry, a flipped bit.\n"
               "BYTES: hexadecimal, in memory's order; kept in the run like what is typed")->type_name("\"console:'TEXT'=ADDRESS:BYTES\"")->allow_extra_args(false);
  a.add_option("--firmware", o.firmware, "ROM image to start at the reset vector, instead of a kernel")->type_name("ROM");
  a.add_option("-o,--output", o.out, "Run directory: manifest, platform, console, events, checkpoint of the end")->type_name("DIR");
  a.add_option("--until", o.until, "Where to end: step number, console:'text', exit#N, exit:NAME, entry#N, sym:NAME[#n]")->type_name("T");
  a.add_option("--max-steps", o.max_steps, "Give up after so many steps (status 124)")->type_name("N");
  a.add_option("--type", o.type, "Type at the serial console when TEXT is complete for the first time, or before a step (STEP=KEYS).\n"
               "KEYS: \\r \\n \\t \\e \\xHH, ^A for Ctrl-A; several for one moment are typed in order")
      ->type_name("\"console:'TEXT'=KEYS\"")->allow_extra_args(false);
  a.add_option("--checkpoint-every", o.checkpoint_every, "Keep the machine's state every N steps, so that RUN@T is answered sooner")->type_name("N");
  a.add_option("--console", o.console, "stdio: lines with their step (default), or, from a terminal to a terminal, what the guest prints as it comes; raw: bytes; file:\n"
               "console.txt only; none. With stdio, what comes from a terminal or a pipe at standard input is typed at the guest, and recorded")->type_name("HOW");
  a.add_option("--escape", o.escape, "The key that leaves a run that is typed at on a terminal (default ^]; none: there is none)")->type_name("KEY");
  a.add_option("--schedule-seed", o.schedule_seed, "Varies how processors are interleaved: another number, another run, the same every time (0: slices of fixed length)")->type_name("N");
  a.add_option("--timing", o.timing, "What a step costs: flat: one cycle each (default); events: by class of instruction, with cache and TLB misses, walks, mispredictions,\n"
               "VM entries and exits; core: a scoreboard of micro-operations. profile: skylake-server (default), measured-server or a file (docs/timing.md)")
      ->type_name("flat|events|core[,profile=NAME|FILE]");
  a.add_option("--symbols", o.symbols, "Symbols of the kernel (default: found beside it by build id)")->type_name("FILE");
  a.add_flag("--ledger", o.ledger, "Keep every store to EPT and VT-d tables, by whom, and every call that asks for a mapping (log, blame, check, diff)");
  a.add_option("--stop-on", o.stop_on, "End the run (status 1) where this rule of check has a finding (looked at every 4,194,304 steps)")->type_name("RULE")->allow_extra_args(false);
  a.add_option("--bad-if", o.bad_if, "End the run with status 1 when: console:'text', rule:NAME, limit (--max-steps). For git bisect run:\n"
               "with a --bad-if or --good-if the status is 125 when none comes true")->type_name("COND")->allow_extra_args(false);
  a.add_option("--good-if", o.good_if, "End the run with status 0 when: the same")->type_name("COND")->allow_extra_args(false);
  a.add_option("--gdb", o.gdb, "Wait for a debugger at this port of 127.0.0.1 (0: any free one), and run under it")->type_name("PORT");
  a.add_option("--net", o.net, "A network for the guest's first network card (virtio-net; one is added if there is none): the host is 10.0.2.2, with what listens on\n"
               "127.0.0.1; DHCP gives 10.0.2.15; nothing else can be reached. What comes in is kept in the run like what is typed, and both\n"
               "directions in DIR/network.pcap or FILE")->type_name("user[,pcap=FILE]");
  for (const char* later : kLaterRunOptions) {
    auto* option = a.add_option_function<std::vector<std::string>>(later, [later](const std::vector<std::string>&) {
      throw UsageError(std::string(later) + ": is not in this version");
    }, "");
    option->expected(0, 1)->group("");
  }
}

template <class O, class F>
void verb_action(CLI::App& a, O& o, int& result, F f) { a.callback([&o, &result, f] { result = f(o); }); }

/// For verbs that run a guest.
template <class O, class F>
void guest_action(CLI::App& a, O& o, int& result, F f) {
  auto* bare = a.add_flag("--no-sandbox")->description("Keep all system calls and files while a guest runs (as VITRINE_NO_SANDBOX=1)");
  a.callback([&o, &result, f, bare] {
    const char* e = std::getenv("VITRINE_NO_SANDBOX");
    sandbox::arm(!bare->count() && (!e || !*e || std::string_view(e) == "0"));
    result = f(o);
  });
}

int main_checked(int argc, char** argv) {
  CLI::App app{"Vitrine: an x86 platform under glass. Boots unmodified hypervisors deterministically and shows who maps what.", "vitrine"};
  app.set_version_flag("--version", "vitrine " VITRINE_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  app.failure_message(CLI::FailureMessage::simple);
  int result = 0;

  RunOptions run_o;
  for (int i = 0; i < argc; ++i) run_o.arguments.emplace_back(argv[i]);
  auto* a = app.add_subcommand("run", "Run a hypervisor, kernel or ROM");
  run_options(*a, run_o);
  a->footer(kFooter);
  guest_action(*a, run_o, result, run);

  MapOptions map_o;
  a = app.add_subcommand("map", "What EPT, VT-d and the E820 map at any moment of a run, as ranges");
  a->add_option("RUN", map_o.run, kRunAt)->required();
  a->add_option("RANGE", map_o.range, "Only this: 0x1000-0x1fff (inclusive), 0x1000+4K, or one address");
  a->add_option("--of", map_o.of, "ept, vtd, e820 or all (default)")->type_name("WHAT");
  a->add_option("--root", map_o.root, "Only the tables with this root")->type_name("HPA");
  a->add_option("--bdf", map_o.bdf, "Only the tables of this device (VT-d)")->type_name("00:1f.0");
  a->add_flag("--json", map_o.json, "One JSON object");
  guest_action(*a, map_o, result, map);

  WalkOptions walk_o;
  a = app.add_subcommand("walk", "Every table entry that one translation reads, and why it stops");
  a->add_option("RUN", walk_o.run, kRunAt)->required();
  a->add_option("ADDR", walk_o.address, "gva:A[@cpuN], gpa:A[@cpuN] or iova:A@BDF")->required();
  a->add_option("--root", walk_o.root, "EPT root to use for gpa: and gva:")->type_name("HPA");
  a->add_flag("--json", walk_o.json, "One JSON object");
  guest_action(*a, walk_o, result, walk);

  LogOptions log_o;
  a = app.add_subcommand("log", "The ledger: what was mapped, changed, removed, refused and invalidated, in order, and by whom");
  a->add_option("RUN", log_o.run, "Run directory, or RUN@T")->required();
  a->add_option("RANGE", log_o.range, "Only these translated addresses: 0x1000-0x1fff (inclusive), 0x1000+4K, or one");
  a->add_option("--of", log_o.of, "ept, vtd or all (default)")->type_name("WHAT");
  a->add_flag("--all", log_o.all, "Every store, table and attempt, also those that changed nothing");
  a->add_flag("--json", log_o.json, "One JSON object");
  a->add_flag("--verify", log_o.verify, "Run again, and compare the tables with what the ledger says they are (status 1: they differ)");
  a->add_option("--every", log_o.every, "With --verify: events between two comparisons (default 100)")->type_name("N");
  guest_action(*a, log_o, result, log);

  CheckOptions check_o;
  a = app.add_subcommand("check", "Findings about a run's mappings, like fsck (status 1 if there is an error or a warning)");
  a->add_option("RUN", check_o.run, kRunAt)->required();
  a->add_option("--rule", check_o.rules, "Only this rule (several: once each); vitrine explain lists them")->type_name("RULE")->allow_extra_args(false);
  a->add_option("--severity", check_o.severity, "Only findings of this severity and above: error, warning, info (default)")->type_name("S");
  a->add_flag("--json", check_o.json, "One JSON object");
  guest_action(*a, check_o, result, check);

  ExplainOptions explain_o;
  a = app.add_subcommand("explain", "What a rule of check means, when it is harmless and what to do; without a rule, the list");
  a->add_option("RULE", explain_o.rule, "Name of the rule");
  verb_action(*a, explain_o, result, explain);

  BlameOptions blame_o;
  a = app.add_subcommand("blame", "Who mapped this? Every attempt and store that mattered for one address");
  a->add_option("RUN", blame_o.run, "Run directory, or RUN@T")->required();
  a->add_option("ADDR", blame_o.address, "gfn:A0, gpa:0xa0000, iova:8c000@00:1d.0, mfn:A0 or hpa:0xa0000 (numbers are hexadecimal)")->required();
  a->add_flag("--json", blame_o.json, "One JSON object");
  guest_action(*a, blame_o, result, blame);

  DiffOptions diff_o;
  a = app.add_subcommand("diff", "What two moments or two runs map differently (two builds of a hypervisor on one platform)");
  a->add_option("RUN1", diff_o.one, "Run directory, or RUN@T")->required();
  a->add_option("RUN2", diff_o.two, "Run directory, or RUN@T")->required();
  a->add_option("RANGE", diff_o.range, "Only these translated addresses");
  a->add_flag("--exact", diff_o.exact, "Machine frames of RAM and addresses of tables count, too");
  a->add_flag("--json", diff_o.json, "One JSON object");
  guest_action(*a, diff_o, result, diff);

  ReportOptions report_o;
  a = app.add_subcommand("report", "One HTML file to look at and to attach to a bug report: the map over time, who wrote it, the findings");
  a->add_option("RUN", report_o.run, "Run directory, or RUN@T: up to that moment")->required();
  a->add_option("-o,--output", report_o.out, "File to write (default report.html; -: standard output)")->type_name("FILE");
  guest_action(*a, report_o, result, report);

  StatOptions stat_o;
  a = app.add_subcommand("stat", "What a run counted: VM exits by reason, VT-d, absent addresses, speed");
  a->add_option("RUN", stat_o.run, "Run directory")->required();
  a->add_flag("--json", stat_o.json, "One JSON object");
  a->add_option("--by", stat_o.by, "Cycles of a run with a timing model, by making it once more: function (sampled), phase (exact, between the moments of --phase)")
      ->type_name("function|phase");
  a->add_option("--phase", stat_o.phases, "A moment at which a phase begins: step number, 37%, console:'text', exit#N, entry#N, sym:NAME[#n]")->type_name("T")->allow_extra_args(false);
  a->add_option("--every", stat_o.every, "Cycles between two samples of --by function (default 20000)")->type_name("N");
  a->add_option("--guest-symbols", stat_o.guest_symbols, "--by function: names for the guest's functions, from its kernel's ELF file")->type_name("FILE");
  a->add_flag("--folded", stat_o.folded, "--by function with callers, as lines CONTEXT;OUTERMOST;...;FUNCTION CYCLES, for flame graphs");
  verb_action(*a, stat_o, result, stat);

  MemoryOptions memory_o;
  a = app.add_subcommand("memory", "Physical memory at any moment of a run as a sparse file: offset = address");
  a->add_option("RUN", memory_o.run, kRunAt)->required();
  a->add_option("RANGE", memory_o.range, "Only this: 0x1000-0x1fff (inclusive) or 0x1000+4K; the first byte is then offset 0");
  a->add_option("-o,--output", memory_o.out, "File to write")->required()->type_name("FILE");
  guest_action(*a, memory_o, result, memory);

  GdbOptions gdb_o;
  a = app.add_subcommand("gdb", "gdb on a finished run, forwards and backwards, with the symbols of the kernel");
  a->add_option("RUN", gdb_o.run, "Run directory (its beginning), or RUN@T")->required();
  a->add_option("--serve", gdb_o.serve, "Serve a debugger at this port of 127.0.0.1 instead of starting gdb (0: any free one)")->type_name("PORT");
  a->add_option("--checkpoint-memory", gdb_o.budget, "Memory for going back (default 512M)")->type_name("SIZE");
  guest_action(*a, gdb_o, result, debug);

  ShowViewOptions show_view_o;
  a = app.add_subcommand("show", "The machine's own views at any moment: regs disasm vmcs msr lapic tlb ioapic pci iommu irq events");
  a->add_option("RUN", show_view_o.run, kRunAt)->required();
  a->add_option("VIEW", show_view_o.view, "Which one")->required();
  a->add_option("ARGUMENT", show_view_o.words, "As of the debugger's monitor command of the same name: part of a VMCS field's name, an MSR, a function, a count");
  a->add_option("--cpu", show_view_o.cpu, "Processor to look at (default 0)")->type_name("N");
  a->add_flag("--json", show_view_o.json, "One JSON object");
  guest_action(*a, show_view_o, result, show);
  ReplayOptions replay_o;
  a = app.add_subcommand("replay", "A run once more, from its inputs and what was typed (status 5: it goes another way)");
  a->add_option("RUN", replay_o.run, "Run directory")->required();
  a->add_option("--from", replay_o.from, "From the last checkpoint at or before this moment on (run --checkpoint-every), not from the beginning")->type_name("T");
  a->add_option("--to", replay_o.to, "Only to this moment: step number, 37%, console:'text', exit#N, sym:NAME ...")->type_name("T");
  a->add_flag("--verify", replay_o.verify, "Print nothing, but compare console, checkpoints and the state's hash at the end with those of the run");
  guest_action(*a, replay_o, result, replay);

  TraceOptions trace_o;
  a = app.add_subcommand("trace", "Every instruction of a stretch of a run, with what it changed and which translations it used, by running again");
  a->add_option("RUN", trace_o.run, "Run directory")->required();
  a->add_option("--from", trace_o.from, "Where it begins (default 0): step number, 37%, console:'text', exit#N, exit:NAME, entry#N, sym:NAME[#n]")->type_name("T");
  a->add_option("--to", trace_o.to, "Where it ends: the same, end, or +N steps")->type_name("T");
  a->add_option("--processor", trace_o.processor, "Only this processor")->type_name("N");
  a->add_option("--event", trace_o.events, "No instructions, only these events, separated by commas: exit, entry, exception, interrupt, msr, port,\n"
                "mmio, ept, vtd, flush, console, reset, or all")->type_name("KINDS")->delimiter(',')->allow_extra_args(false);
  a->add_flag("--json", trace_o.json, "A JSON object per line");
  guest_action(*a, trace_o, result, trace);

  DebugKeyOptions debug_key_o;
  a = app.add_subcommand("debug-key", "What Xen's console prints for a debug key at a moment of a run (a fork: the run stays as it is)");
  a->add_option("RUN", debug_key_o.run, kRunAt)->required();
  a->add_option("KEY", debug_key_o.keys, "One character each; h lists what there is, D is the EPT dump")->required();
  guest_action(*a, debug_key_o, result, debug_key);

  auto* platform = app.add_subcommand("platform", "Platform descriptions");
  platform->require_subcommand(1);
  ShowOptions show_o;
  a = platform->add_subcommand("show", "A platform with all defaults filled in");
  platform_options(*a, show_o.platform);
  a->add_option("FILE", show_o.platform.platform, "Platform description (default: the built-in one)");
  a->add_flag("--json", show_o.json, "The complete description as JSON");
  verb_action(*a, show_o, result, platform_show);
  std::vector<std::string> lint_files;
  a = platform->add_subcommand("lint", "What is inconsistent in descriptions, in words (status 1 if something is wrong)");
  a->add_option("FILE", lint_files, "Platform descriptions")->required();
  a->callback([&] { result = platform_lint(lint_files); });
  ImportOptions import_o;
  a = platform->add_subcommand("import", "A description out of boot logs of Xen and Linux, acpidump output, ACPI tables, lspci -xxx");
  a->add_option("FILE", import_o.files, "What was pasted; several files are one machine (-: standard input)")->required();
  a->add_option("-o,--output", import_o.out, "Where to write the description (default: standard output)")->type_name("P.json");
  a->add_flag("--json", import_o.json, "One JSON object: the description and what was found on the way");
  verb_action(*a, import_o, result, platform_import);

  const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  if (argc > 1 && argv[1][0] != '-' && std::none_of(verbs.begin(), verbs.end(), [&](auto* v) { return v->get_name() == argv[1]; }))
    throw UsageError(std::string(argv[1]) + ": no such verb; vitrine --help lists what there is");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? status::ok : status::usage;
  }
  return result;
}

}  // namespace
}  // namespace vt::cli

int main(int argc, char** argv) {
  using namespace vt;
  try {
    return cli::main_checked(argc, argv);
  } catch (const cli::UsageError& e) {
    cli::print_error(e.what());
    return cli::status::usage;
  } catch (const cli::Interrupted& e) {
    cli::print_error(std::string("interrupted: ") + e.what());
    return cli::status::interrupted;
  } catch (const std::bad_alloc&) {
    cli::print_error("this machine has not enough memory for that platform");
    return cli::status::bad_input;
  } catch (const std::runtime_error& e) {   // fw::LoadError, fw::PlatformError, emu::BusConflict, hv::SymbolError, cli::InputError
    cli::print_error(e.what());
    return cli::status::bad_input;
  }
}
