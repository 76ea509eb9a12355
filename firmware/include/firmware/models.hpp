// SPDX-License-Identifier: GPL-2.0-or-later
/// The PCI functions that the machine has a behaviour for, by the name in a description's "model". One row each.
#pragma once
#include <span>

#include "firmware/platform.hpp"

namespace vt::fw {

struct FunctionModel {
  const char* name;
  /// What a row of the description need not say; a device of 0: it has to say it all.
  u16 vendor = 0, device = 0;
  u32 class_code = 0;
  u8 interrupt_pin = 0;
  bool msi = false;
  std::span<const PciBar> bars = {};    ///< index, kind, size: these and no others
  unsigned disks = 0;                   ///< how many it can have; each at a port of its own
  const char* about = "";
  u8 revision = 0;
};

inline constexpr u64 kPcTestdevMemory = 0xff000000;   ///< of pc-testdev: 64 KiB

/// Devices at fixed ports.
struct IsaModel {
  const char* name;
  u16 iobase, iosize;
  bool movable;                         ///< iobase and iosize can be given
  const char* about;
};

std::span<const FunctionModel> function_models();
std::span<const IsaModel> isa_models();
/// Null: there is none of that name.
const FunctionModel* function_model(std::string_view name);
const IsaModel* isa_model(std::string_view name);

/// Adds a function of a model that has everything; it is completed by `complete`. Without a place it gets the first free device of bus 0
/// from 5 on. Throws std::invalid_argument: what is wrong and what there is.
PciFunction& add_function(Platform& p, const std::string& model, std::optional<Bdf> at = {});
/// What a row of a model leaves out: identity, BARs, and addresses for those as firmware assigns them. True if something was added.
/// Throws PlatformError where there is no room.
bool fill_models(Platform& p);
/// Ports that a row of `isa` leaves out.
void fill_isa(Platform& p);

}  // namespace vt::fw
