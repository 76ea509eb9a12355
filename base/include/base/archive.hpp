// SPDX-License-Identifier: GPL-2.0-or-later
/// State in one function: each stateful class has one `void state(Ar&)` that names its fields; save,
/// load, hash and diff are archives. Order is the format. Fields are numbers, enums, arrays, strings,
/// vectors, deques, maps of those, or classes with a `state` of their own; never pointers, never padding.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "base/types.hpp"

namespace vt {

class Ar;
template <class T>
concept HasState = requires(T& t, Ar& ar) { t.state(ar); };

class Ar {
 public:
  virtual ~Ar() = default;
  /// One run of plain bytes: written out, overwritten, hashed or compared.
  virtual void bytes(void* p, std::size_t n) = 0;
  virtual bool loading() const { return false; }
  /// Names what follows, for diffs and for tests that alter each field. Nests.
  virtual void enter(std::string_view) {}
  virtual void leave() {}

  template <class... Ts>
  void operator()(Ts&... fields) { (field(fields), ...); }

  template <class T>
  void section(std::string_view name, T& what) { enter(name); field(what); leave(); }

 private:
  template <class T>
  void field(T& x) {
    if constexpr (HasState<T>) x.state(*this);
    else {
      static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_same_v<T, u128> || std::has_unique_object_representations_v<T>,
                    "give it a state(Ar&)");
      static_assert(!std::is_pointer_v<T>);
      bytes(&x, sizeof x);
    }
  }
  template <class T, std::size_t N>
  void field(T (&x)[N]) { for (auto& e : x) field(e); }
  template <class T, std::size_t N>
  void field(std::array<T, N>& x) { for (auto& e : x) field(e); }
  template <class Tag>
  void field(Address<Tag>& x) { bytes(&x.v, sizeof x.v); }
  template <class A, class B>
  void field(std::pair<A, B>& x) { field(x.first); field(x.second); }
  template <class T>
  void field(std::optional<T>& x) {
    u8 has = x.has_value();
    field(has);
    if (loading()) { if (has) x.emplace(); else x.reset(); }
    if (has) field(*x);
  }
  void field(std::string& x) { sized(x); }
  template <class T>
  void field(std::vector<T>& x) { sized(x); }
  template <class T>
  void field(std::deque<T>& x) { sized(x); }
  template <class K, class V>
  void field(std::map<K, V>& x) {
    u64 n = count(x.size());
    if (loading()) {
      x.clear();
      for (u64 i = 0; i < n; ++i) { K k{}; V v{}; field(k); field(v); x.emplace(std::move(k), std::move(v)); }
    } else {
      for (auto& [k, v] : x) { K key = k; field(key); field(v); }
    }
  }
  template <class S>
  void sized(S& x) {
    u64 n = count(x.size());
    if (loading()) { x.clear(); x.resize(n); }
    using E = typename S::value_type;
    if constexpr (!std::is_same_v<S, std::deque<E>> && std::is_integral_v<E> && !std::is_same_v<E, bool>) {
      if (n) bytes(x.data(), n * sizeof(E));
    } else {
      for (auto& e : x) field(e);
    }
  }
  u64 count(u64 n) { bytes(&n, sizeof n); if (loading() && n > kMaxCount) throw std::runtime_error("damaged state: impossible element count"); return n; }
  static constexpr u64 kMaxCount = u64{1} << 34;
};

class SaveAr final : public Ar {
 public:
  void bytes(void* p, std::size_t n) override { auto* b = static_cast<const u8*>(p); out.insert(out.end(), b, b + n); }
  std::vector<u8> out;
};

/// Throws std::runtime_error where the input ends early: a damaged file is an input error, not our bug.
class LoadAr final : public Ar {
 public:
  explicit LoadAr(std::span<const u8> in) : in_(in) {}
  void bytes(void* p, std::size_t n) override {
    if (n > in_.size()) throw std::runtime_error("damaged state: it ends too early");
    std::memcpy(p, in_.data(), n);
    in_ = in_.subspan(n);
  }
  bool loading() const override { return true; }
  bool at_end() const { return in_.empty(); }

 private:
  std::span<const u8> in_;
};

/// 128-bit hash (XXH3) of everything named, in order.
class HashAr final : public Ar {
 public:
  HashAr();
  ~HashAr() override;
  void bytes(void* p, std::size_t n) override;
  std::string hex() const;  ///< 32 hex digits

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Calls back with the memory of each field: how tests alter every field and see the hash change.
class VisitAr final : public Ar {
 public:
  struct Field { void* p; std::size_t n; std::string path; };
  void bytes(void* p, std::size_t n) override { fields.push_back({p, n, path_}); }
  void enter(std::string_view name) override { marks_.push_back(path_.size()); path_ += '/'; path_ += name; }
  void leave() override { path_.resize(marks_.back()); marks_.pop_back(); }
  std::vector<Field> fields;

 private:
  std::string path_;
  std::vector<std::size_t> marks_;
};

}  // namespace vt
