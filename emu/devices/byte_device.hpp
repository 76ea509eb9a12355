// SPDX-License-Identifier: GPL-2.0-or-later
/// Eight-bit peripherals on a wider bus, and the bits of wire between them.
#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "base/bits.hpp"
#include "emu/device.hpp"

namespace vt::emu {

/// An eight-bit peripheral: wider accesses are split into bytes at ascending offsets, as the LPC bridge does.
class ByteDevice : public Device {
 public:
  u64 read(u64 offset, unsigned size) final {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) value |= u64{read8(offset + i)} << (8 * i);
    return value;
  }
  void write(u64 offset, unsigned size, u64 value) final {
    for (unsigned i = 0; i < size; ++i) write8(offset + i, static_cast<u8>(value >> (8 * i)));
  }

 protected:
  virtual u8 read8(u64 offset) = 0;
  virtual void write8(u64 offset, u8 value) = 0;
};

/// Another range of a device: offset 0 here is offset `first` there. It has no state of its own.
class Window final : public Device {
 public:
  Window(Device& of, u64 first, std::string name) : of_(of), first_(first), name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  u64 read(u64 offset, unsigned size) override { return of_.read(first_ + offset, size); }
  void write(u64 offset, unsigned size, u64 value) override { of_.write(first_ + offset, size, value); }
  void reset() override {}
  void state(Ar&) override {}

 private:
  Device& of_;
  u64 first_;
  std::string name_;
};

/// A wire that ends nowhere.
class OpenLine final : public IrqLine {
 public:
  void set(bool) override {}
};

/// One output that drives several inputs (a legacy interrupt goes to the 8259 and to the I/O APIC).
class FanOut final : public IrqLine {
 public:
  FanOut() = default;
  FanOut(std::initializer_list<IrqLine*> to) : to_(to) {}
  void add(IrqLine& line) { to_.push_back(&line); }
  void set(bool asserted) override { for (auto* line : to_) line->set(asserted); }

 private:
  std::vector<IrqLine*> to_;
};

/// Several outputs on one wire: it is asserted while one of them is. PCI's pins share interrupts so.
class WiredOr final {
 public:
  WiredOr() = default;
  WiredOr(const WiredOr&) = delete;
  void connect(IrqLine& to) { to_ = &to; }
  IrqLine& add() {
    in_.push_back(std::make_unique<In>(*this));
    return *in_.back();
  }
  void state(Ar& ar) { for (auto& in : in_) ar(in->level); }

 private:
  struct In final : IrqLine {
    explicit In(WiredOr& w) : owner(w) {}
    void set(bool asserted) override {
      if (level == asserted) return;
      level = asserted;
      owner.drive();
    }
    WiredOr& owner;
    u8 level = 0;
  };
  void drive() {
    bool any = false;
    for (auto& in : in_) any |= in->level != 0;
    if (to_) to_->set(any);
  }
  IrqLine* to_ = nullptr;
  std::vector<std::unique_ptr<In>> in_;
};

/// Two outputs of which one is connected: how HPET's legacy replacement takes IRQ0 and IRQ8 away.
class LineSwitch final {
 public:
  explicit LineSwitch(IrqLine& to) : to_(to) {}
  LineSwitch(const LineSwitch&) = delete;
  IrqLine& input(unsigned n) { return in_[n & 1]; }
  void select(unsigned n) { selected_ = n & 1; drive(); }
  void state(Ar& ar) { ar(in_[0].level, in_[1].level, selected_); }

 private:
  struct In final : IrqLine {
    explicit In(LineSwitch& s) : owner(s) {}
    void set(bool asserted) override { level = asserted; owner.drive(); }
    LineSwitch& owner;
    u8 level = 0;
  };
  void drive() { to_.set(in_[selected_ & 1].level); }
  IrqLine& to_;
  In in_[2]{In{*this}, In{*this}};
  u8 selected_ = 0;
};

}  // namespace vt::emu
