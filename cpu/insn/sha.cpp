// SPDX-License-Identifier: GPL-2.0-or-later
/// SHA extensions.   SDM 1 "Intel Secure Hash Algorithm Extensions", FIPS 180-4
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {

using Words = std::array<u32, 4>;  // lowest first

/// Operations on four words: f(destination, source).
template <class Op>
struct OnWords {
  static V128 f(const V128& a, const V128& b) { return from_lanes<V128>(Op::f(lanes_of<u32>(a), lanes_of<u32>(b))); }
};
struct Sha1NextE { static Words f(const Words& a, const Words& b) { return {b[0], b[1], b[2], b[3] + std::rotl(a[3], 30)}; } };
struct Sha1Msg1 { static Words f(const Words& a, const Words& b) { return {b[2] ^ a[0], b[3] ^ a[1], a[0] ^ a[2], a[1] ^ a[3]}; } };
struct Sha1Msg2 {
  static Words f(const Words& a, const Words& b) {
    const u32 w16 = std::rotl(a[3] ^ b[2], 1);
    return {std::rotl(a[0] ^ w16, 1), std::rotl(a[1] ^ b[0], 1), std::rotl(a[2] ^ b[1], 1), w16};
  }
};
u32 small_sigma0(u32 x) { return std::rotr(x, 7) ^ std::rotr(x, 18) ^ x >> 3; }
u32 small_sigma1(u32 x) { return std::rotr(x, 17) ^ std::rotr(x, 19) ^ x >> 10; }
struct Sha256Msg1 {
  static Words f(const Words& a, const Words& b) { return {a[0] + small_sigma0(a[1]), a[1] + small_sigma0(a[2]), a[2] + small_sigma0(a[3]), a[3] + small_sigma0(b[0])}; }
};
struct Sha256Msg2 {
  static Words f(const Words& a, const Words& b) {
    const u32 w16 = a[0] + small_sigma1(b[2]), w17 = a[1] + small_sigma1(b[3]);
    return {w16, w17, a[2] + small_sigma1(w16), a[3] + small_sigma1(w17)};
  }
};

u32 choose(u32 x, u32 y, u32 z) { return (x & y) ^ (~x & z); }
u32 majority(u32 x, u32 y, u32 z) { return (x & y) ^ (x & z) ^ (y & z); }

/// Four rounds of SHA-1: the destination has A to D (A on top), the source the message with E added to its first word.
template <class C, bool M>
Next sha1rnds4(C& c, const Insn& i) {
  Vec<Sse> m;
  if (!source<Sse, M>(c, i, m)) return Next::fault;
  static constexpr u32 kConstant[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  const auto x = lanes_of<u32>(xmm(c, i.reg)), w = lanes_of<u32>(m);
  const unsigned stage = i.imm & 3;
  u32 v[5] = {x[3], x[2], x[1], x[0], 0};  // A to E
  for (unsigned k = 0; k < 4; ++k) {
    const u32 f = stage == 0 ? choose(v[1], v[2], v[3]) : stage == 2 ? majority(v[1], v[2], v[3]) : v[1] ^ v[2] ^ v[3];
    const u32 next = f + std::rotl(v[0], 5) + w[3 - k] + v[4] + kConstant[stage];
    v[4] = v[3], v[3] = v[2], v[2] = std::rotl(v[1], 30), v[1] = v[0], v[0] = next;
  }
  set_xmm(c, i.reg, from_lanes<V128>(Words{v[3], v[2], v[1], v[0]}));
  return Next::seq;
}
/// Two rounds of SHA-256: C, D, G, H in the destination, A, B, E, F in the source, message plus constants in XMM0.
template <class C, bool M>
Next sha256rnds2(C& c, const Insn& i) {
  Vec<Sse> m;
  if (!source<Sse, M>(c, i, m)) return Next::fault;
  const auto cdgh = lanes_of<u32>(xmm(c, i.reg)), abef = lanes_of<u32>(m), wk = lanes_of<u32>(xmm(c, 0));
  u32 v[8] = {abef[3], abef[2], cdgh[3], cdgh[2], abef[1], abef[0], cdgh[1], cdgh[0]};
  for (unsigned k = 0; k < 2; ++k) {
    const u32 big1 = std::rotr(v[4], 6) ^ std::rotr(v[4], 11) ^ std::rotr(v[4], 25), big0 = std::rotr(v[0], 2) ^ std::rotr(v[0], 13) ^ std::rotr(v[0], 22);
    const u32 t1 = choose(v[4], v[5], v[6]) + big1 + wk[k] + v[7], t2 = majority(v[0], v[1], v[2]) + big0;
    v[7] = v[6], v[6] = v[5], v[5] = v[4], v[4] = v[3] + t1, v[3] = v[2], v[2] = v[1], v[1] = v[0], v[0] = t1 + t2;
  }
  set_xmm(c, i.reg, from_lanes<V128>(Words{v[5], v[4], v[1], v[0]}));
  return Next::seq;
}

using C = Cpu;
#define VT_SHA(name, op, Op) VT_ROW_SSE(name, "NP", 0F38, op " /r", "Vx,Wx", sha, packed, Sse, OnWords<Op>)
constexpr Def kRows[] = {
  VT_SHA("SHA1NEXTE", "C8", Sha1NextE),
  VT_SHA("SHA1MSG1", "C9", Sha1Msg1),
  VT_SHA("SHA1MSG2", "CA", Sha1Msg2),
  VT_SHA("SHA256MSG1", "CC", Sha256Msg1),
  VT_SHA("SHA256MSG2", "CD", Sha256Msg2),
  {"SHA256RNDS2", "NP 0F 38 CB /r", "Vx,Wx", attr::sse, Feature::sha, VT_FN(sha256rnds2)},
  {"SHA1RNDS4", "NP 0F 3A CC /r ib", "Vx,Wx,Ib", attr::sse, Feature::sha, VT_FN(sha1rnds4)},
};

}  // namespace

std::span<const Def> sha_rows() { return kRows; }

}  // namespace vt::cpu
