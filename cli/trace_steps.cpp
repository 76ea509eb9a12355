// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace_steps.hpp"

#include <fmt/format.h>

#include "cpu/ept_caps.hpp"
#include "cpu/inspect.hpp"
#include "views/ept_map.hpp"

namespace vt::cli {
namespace {
namespace paging = cpu::paging;
using Kind = cpu::MemoryAccess::Kind;

/// Where code stands: by the translation that it was fetched with, if that is still cached.
std::optional<Hpa> code_at(emu::Machine& m, const cpu::Cpu& c, u64 linear, const Path& p) {
  if (!p.paging && !p.nested) return Hpa{linear};
  if (const auto* e = c.tlb.find(c.contexts.tlb(), linear)) return Hpa{e->target | (linear & ((u64{1} << e->shift) - 1))};
  (void)m;
  return p.hpa;
}

struct Compare {
  std::vector<Change>& to;
  template <class A> void operator()(const std::string& name, A was, A is) const {
    if (was != is) to.push_back({name, fmt::format("{:#x}", was), fmt::format("{:#x}", is)});
  }
  void wide(const std::string& name, const u64* was, const u64* is, unsigned words) const {
    auto text = [&](const u64* w) {
      std::string s = "0x";
      for (unsigned n = words; n--;) s += fmt::format("{:016x}", w[n]);
      return s;
    };
    if (std::memcmp(was, is, words * 8) != 0) to.push_back({name, text(was), text(is)});
  }
  void segment(const std::string& name, const cpu::Segment& was, const cpu::Segment& is) const {
    (*this)(name, was.sel, is.sel);
    (*this)(name + ".base", was.base, is.base);
    (*this)(name + ".limit", was.limit, is.limit);
    (*this)(name + ".access", was.ar, is.ar);
  }
};

}  // namespace

Path path_of(emu::Machine& m, const cpu::Cpu& c, u64 linear) {
  Path p{.paging = (c.cr0 & cpu::cr0::PG) != 0, .nested = c.vmx.non_root && c.vmx.eptp};
  const ept::Caps caps = cpu::ept_caps(c.model());
  auto down = [&](Gpa at, u64* size) -> std::optional<Hpa> {
    if (!p.nested) return Hpa{at.v};
    const auto l = views::look(m.memory(), caps, ept::Eptp{c.vmx.eptp}, at);
    if (l.walk.why != ept::Why::ok && l.walk.why != ept::Why::not_allowed) return {};
    if (size) *size = l.walk.page_size;
    return l.walk.target;
  };
  Gpa gpa{linear};
  if (p.paging) {
    const paging::Params params = cpu::paging_params(c);
    if (params.mode == paging::Mode::level4 && static_cast<u64>(sext(linear, 48)) != linear) return p;
    const paging::Walk w = paging::walk(params, linear, [&](Gpa at, u64& v) {
      const auto h = down(at, nullptr);
      if (h) v = m.memory().peek64(*h);
      return h.has_value();
    });
    if (w.why != paging::Why::ok) return p;
    gpa = w.target, p.page = u64{1} << w.shift;
  }
  p.gpa = gpa;
  p.hpa = down(gpa, &p.ept_page);
  return p;
}

std::vector<Change> register_changes(const cpu::CpuState& a, const cpu::CpuState& b) {
  std::vector<Change> list;
  const Compare c{list};
  static constexpr const char* kGpr[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
  for (unsigned n = 0; n < 16; ++n) c(kGpr[n], a.r[n], b.r[n]);
  c("rflags", a.rflags(), b.rflags());
  static constexpr const char* kSeg[] = {"es", "cs", "ss", "ds", "fs", "gs"};
  for (unsigned n = 0; n < 6; ++n) c.segment(kSeg[n], a.seg[n], b.seg[n]);
  c("cr0", a.cr0, b.cr0), c("cr2", a.cr2, b.cr2), c("cr3", a.cr3, b.cr3), c("cr4", a.cr4, b.cr4), c("efer", a.efer, b.efer), c("xcr0", a.xcr0, b.xcr0);
  c.segment("ldtr", a.ldtr, b.ldtr), c.segment("tr", a.tr, b.tr);
  c("gdtr.base", a.gdtr.base, b.gdtr.base), c("gdtr.limit", a.gdtr.limit, b.gdtr.limit), c("idtr.base", a.idtr.base, b.idtr.base), c("idtr.limit", a.idtr.limit, b.idtr.limit);
  for (unsigned n = 0; n < 8; ++n) c(fmt::format("dr{}", n), a.dr[n], b.dr[n]);
  for (unsigned n = 0; n < 4; ++n) c(fmt::format("pdpte{}", n), a.pdpte[n], b.pdpte[n]);
  c("activity", static_cast<unsigned>(a.activity), static_cast<unsigned>(b.activity));
  const cpu::Fpu &f = a.fpu, &g = b.fpu;
  c("fcw", f.cw, g.cw), c("fsw", f.sw, g.sw), c("ftw", f.tags, g.tags), c("mxcsr", f.mxcsr, g.mxcsr);
  for (unsigned n = 0; n < 8; ++n)
    if (f.st[n].m != g.st[n].m || f.st[n].se != g.st[n].se)
      list.push_back({fmt::format("fpr{}", n), fmt::format("{:#06x}{:016x}", f.st[n].se, f.st[n].m), fmt::format("{:#06x}{:016x}", g.st[n].se, g.st[n].m)});
  if (std::memcmp(f.ymm, g.ymm, sizeof f.ymm) != 0)
    for (unsigned n = 0; n < 16; ++n) {
      const bool upper = f.ymm[n][2] != g.ymm[n][2] || f.ymm[n][3] != g.ymm[n][3];
      c.wide(fmt::format("{}mm{}", upper ? 'y' : 'x', n), f.ymm[n], g.ymm[n], upper ? 4 : 2);
    }
  return list;
}

StepTracer::StepTracer(emu::Machine& m, std::optional<unsigned> only, Text text, Step step, Between between)
    : machine_(m), only_(only), text_(std::move(text)), step_(std::move(step)), between_(std::move(between)) {
  for (unsigned n = 0; n < m.cpus(); ++n) if (!only_ || *only_ == n) m.processor(n).observe(this);
}
StepTracer::~StepTracer() { machine_.observe(nullptr); }

/// Steps up to `now` are made. One that was begun and not made tells nothing.
void StepTracer::close(u64 now) {
  if (!open_) return;
  const cpu::Cpu& c = machine_.processor(open_->cpu);
  if (open_->step < now) {
    open_->changes = register_changes(before_, c);
    open_->next = c.rip;
    // A processor that halts looks around once more before it waits: no step.
    if (open_->executes || !open_->happened.empty() || !open_->changes.empty()) step_(*open_);
  }
  open_.reset();
}
void StepTracer::finish() { close(machine_.steps()); }

void StepTracer::boundary(const cpu::Cpu& c) {
  const u64 step = c.step();
  if (open_ && open_->cpu == c.index() && open_->step == step) return;
  close(step);
  TracedStep& s = open_.emplace();
  s.step = step, s.cpu = c.index(), s.cpl = c.cpl();
  s.vmx = c.vmx.non_root ? 'n' : c.vmx.on ? 'r' : '-';
  s.cs = c.seg[cpu::CS].sel, s.wide = c.code64(), s.rip = c.rip;
  s.linear = s.wide ? c.rip : static_cast<u32>(c.seg[cpu::CS].base + c.rip);
  before_ = c;
}

void StepTracer::executes(const cpu::Cpu& c, const cpu::Insn& i) {
  TracedStep& s = *open_;
  s.executes = true;
  s.fetch = path_of(machine_, c, s.linear);
  s.fetched = code_at(machine_, c, s.linear, s.fetch);
  s.bytes.resize(i.len);
  for (unsigned n = 0; n < i.len;) {
    const u64 at = s.wide ? s.linear + n : static_cast<u32>(s.linear + n);
    const unsigned run = static_cast<unsigned>(std::min<u64>(i.len - n, kPageSize - at % kPageSize));
    const auto h = n ? code_at(machine_, c, at, path_of(machine_, c, at)) : s.fetched;
    machine_.memory().read(h.value_or(Hpa{~u64{0} & kPageMask}), s.bytes.data() + n, run);
    n += run;
  }
  s.text = text_(c, s.rip, {reinterpret_cast<const u8*>(s.bytes.data()), s.bytes.size()});
}

void StepTracer::access(const cpu::Cpu& c, const cpu::MemoryAccess& a) {
  if (!open_) return;
  TracedAccess t{a.kind, a.device, a.ept, a.level, a.linear, a.at, u64{1} << a.page_shift, {}, std::string(static_cast<const char*>(a.value), a.size), {}};
  if (a.kind == Kind::read || a.kind == Kind::write) t.path = path_of(machine_, c, a.linear);
  if ((a.kind == Kind::write && !a.device) || a.kind == Kind::table_write) {
    t.was.resize(a.size);
    machine_.memory().read(a.at, t.was.data(), a.size);
  }
  open_->happened.emplace_back(std::move(t));
}

void StepTracer::on(const Event& e) {
  if (only_ && e.cpu != *only_) return;
  // Device registers are accesses of the step already.
  if (e.kind == EventKind::mmio_read || e.kind == EventKind::mmio_write) return;
  if (open_ && e.step > open_->step) close(e.step);
  if (open_) open_->happened.emplace_back(e);
  else between_(e);
}

}  // namespace vt::cli
