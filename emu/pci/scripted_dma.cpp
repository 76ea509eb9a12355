// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci/scripted_dma.hpp"

#include <stdexcept>

#include "base/check.hpp"

namespace vt::emu::pci {
namespace {
FunctionSpec running(FunctionSpec s) {
  s.master = true;
  return s;
}
}  // namespace

ScriptedDma::ScriptedDma(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, std::vector<Access> script)
    : Function(running(std::move(spec)), mapper, &dma), clock_(clock), script_(std::move(script)) {
  for (const Access& a : script_) CHECK(a.size >= 1 && a.size <= kMaxSize && a.times >= 1 && (a.times == 1 || a.every > 0));
  begin();
}

void ScriptedDma::begin() {
  progress_.assign(script_.size(), {});
  for (u32 n = 0; n < script_.size(); ++n) {
    progress_[n].due = clock_.now() + script_[n].at, progress_[n].left = script_[n].times;
    clock_.at(progress_[n].due, *this, n);
  }
}

void ScriptedDma::reset() {
  for (u32 n = 0; n < script_.size(); ++n) clock_.cancel(*this, n);
  Function::reset();
  begin();
}

void ScriptedDma::expire(u32 which, u64) {
  CHECK(which < script_.size() && progress_[which].left > 0);
  const Access& a = script_[which];
  Progress& p = progress_[which];
  if (!bus_master()) {
    ++p.lost;
  } else {
    std::array<u8, kMaxSize> buffer;
    buffer.fill(a.value);
    const bool ok = a.write ? dma()->write(bdf(), Iova{a.address}, buffer.data(), a.size) : dma()->read(bdf(), Iova{a.address}, buffer.data(), a.size);
    ++(ok ? p.done : p.blocked);
  }
  if (--p.left == 0) return;
  p.due += a.every;      // by its own clock, whenever the machine had time for it
  clock_.at(p.due, *this, which);
}

void ScriptedDma::state(Ar& ar) {
  Function::state(ar);
  ar(progress_);
  if (ar.loading() && progress_.size() != script_.size()) throw std::runtime_error("damaged state: another script of " + name());
}

}  // namespace vt::emu::pci
