// SPDX-License-Identifier: GPL-2.0-or-later
/// The machine in the making: values beside the place they came from, so that one can be dropped without losing track of the others.
#pragma once
#include "facts.hpp"

namespace vt::fw::import {

struct WorkingUnit {
  Drhd d;
  Source address, include_all, registers, scopes_told;   ///< scopes_told: of the list as a whole
  std::vector<Source> scopes;                            ///< of each
};
struct WorkingRegion {
  Rmrr r;
  Source range;
  std::vector<Source> scopes;
};
struct WorkingFunction {
  PciFunction f;
  Source source;               ///< that it is there
  Source ids;                  ///< vendor, device, class
  Source secondary;
  std::vector<Source> bars;    ///< with the reason where the size is a guess
};

struct Working {
  Platform base;                              ///< scalars
  std::map<std::string, Source> scalars;      ///< by field
  std::vector<MapRange> e820;
  std::vector<WorkingUnit> units;
  std::vector<WorkingRegion> regions;
  std::vector<WorkingFunction> pci;
  bool mtrrs = false;

  template <class T, class V> void set(T& field, const char* name, const MaybeTold<V>& told, V fallback, const char* why) {
    field = static_cast<T>(told ? told->value : fallback);
    scalars[name] = told ? told->source : guess(why);
  }
  Platform platform() const;                  ///< with origins, not completed
};

std::vector<MapRange> choose_map(Facts& f);
void merge_dmar(Facts& f, Working& w);
void assemble_units(Facts& f, Working& w);
void assemble_pci(Facts& f, Working& w);
/// Drops or changes what keeps the platform from being one, and notes it. Throws ImportError where nothing helps.
Platform repair(Facts& f, Working& w);

}  // namespace vt::fw::import
