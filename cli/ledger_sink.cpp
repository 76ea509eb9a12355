// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger_sink.hpp"

#include "hypervisor/xen_words.hpp"

namespace vt::cli {

std::unique_ptr<views::Words> words_for(bool xen, const hv::Symbols* symbols) {
  if (xen) return std::make_unique<hv::xen::XenWords>(symbols);
  return std::make_unique<views::Words>();
}

LedgerSink::LedgerSink(emu::Machine& m, bool xen, const hv::Symbols* symbols, views::EventWriter& to, EventSink* first, views::Ledger::Out also)
    : first_(first), ledger_(m, xen && symbols ? hv::xen::ledger_functions(*symbols) : std::vector<views::Ledger::Function>{}, [&to, also = std::move(also)](const Event& e) {
        to.write(e);
        if (also) also(e);
      }) {}

}  // namespace vt::cli
