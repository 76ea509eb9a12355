// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/space.hpp"

#include "cpu/ept_caps.hpp"
#include "cpu/inspect.hpp"
#include "emu/machine.hpp"
#include "views/ept_map.hpp"

namespace vt::cli::gdb {
namespace paging = cpu::paging;

std::optional<Hpa> physical(emu::Machine& m, ept::Eptp eptp, Gpa at) {
  const auto l = views::look(m.memory(), cpu::ept_caps(m.processor(0).model()), eptp, at);
  if (l.walk.why != ept::Why::ok && l.walk.why != ept::Why::not_allowed) return {};
  return l.walk.target;
}

std::optional<Hpa> physical(emu::Machine& m, unsigned n, u64 linear) {
  const cpu::Cpu& c = m.processor(n);
  const bool nested = c.vmx.non_root && c.vmx.eptp;
  auto down = [&](u64 at) -> std::optional<Hpa> { return nested ? physical(m, ept::Eptp{c.vmx.eptp}, Gpa{at}) : Hpa{at}; };
  if (!c.long_mode()) linear = static_cast<u32>(linear);
  if (!(c.cr0 & cpu::cr0::PG)) return down(linear);
  const paging::Params p = cpu::paging_params(c);
  if (p.mode == paging::Mode::level4 && static_cast<u64>(sext(linear, 48)) != linear) return {};
  const paging::Walk w = paging::walk(p, linear, [&](Gpa at, u64& v) {
    const auto h = down(at.v);
    if (!h) return false;
    v = m.memory().peek64(*h);
    return true;
  });
  if (w.why != paging::Why::ok) return {};
  return down(w.target.v);
}

std::string read_physical(emu::Machine& m, Hpa at, u64 n) {
  std::string out;
  while (n && m.memory().present(at)) {
    const u64 run = std::min(n, kPageSize - at.v % kPageSize);
    out.append(reinterpret_cast<const char*>(m.memory().host() + at.v), run);
    at += run, n -= run;
  }
  return out;
}

std::string read_linear(emu::Machine& m, unsigned cpu, u64 linear, u64 n) {
  std::string out;
  while (n) {
    const u64 run = std::min(n, kPageSize - linear % kPageSize);
    const auto at = physical(m, cpu, linear);
    if (!at || !m.memory().present(*at)) break;
    out += read_physical(m, *at, run);
    linear += run, n -= run;
  }
  return out;
}

}  // namespace vt::cli::gdb
