// SPDX-License-Identifier: GPL-2.0-or-later
/// AES-NI and its VEX.128 forms.   SDM 1 "Intel AES New Instructions (Intel AES-NI)", FIPS 197
#include "insn/vector.hpp"

namespace vt::cpu {
namespace {

using Bytes = std::array<u8, 16>;

constexpr u8 xtime(u8 a) { return static_cast<u8>(a << 1 ^ (a & 0x80 ? 0x1b : 0)); }
constexpr u8 multiply(u8 a, u8 b) {  // in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1
  u8 r = 0;
  for (; b; b = static_cast<u8>(b >> 1), a = xtime(a)) if (b & 1) r ^= a;
  return r;
}

struct Boxes { std::array<u8, 256> forward{}, inverse{}; };
/// The multiplicative inverse, then the affine map.
constexpr Boxes kBoxes = [] {
  Boxes b;
  std::array<u8, 256> power{}, log{};
  u8 x = 1;
  for (unsigned k = 0; k < 255; ++k) power[k] = x, log[x] = static_cast<u8>(k), x = static_cast<u8>(x ^ xtime(x));  // 3 generates the group
  for (unsigned v = 0; v < 256; ++v) {
    const u8 i = v ? power[(255 - log[v]) % 255] : 0;
    const u8 s = static_cast<u8>(i ^ std::rotl(i, 1) ^ std::rotl(i, 2) ^ std::rotl(i, 3) ^ std::rotl(i, 4) ^ 0x63);
    b.forward[v] = s, b.inverse[s] = static_cast<u8>(v);
  }
  return b;
}();

/// Products with the constants of MixColumns and its inverse.
struct Products { std::array<u8, 256> by[16]{}; };
constexpr Products kProducts = [] {
  Products p;
  for (u8 k : {1, 2, 3, 9, 11, 13, 14}) for (unsigned v = 0; v < 256; ++v) p.by[k][v] = multiply(static_cast<u8>(v), k);
  return p;
}();
/// `first`: the matrix's first row; the others are rotated.
Bytes mix_columns(const Bytes& s, const std::array<u8, 4>& first) {
  Bytes to;
  for (unsigned column = 0; column < 16; column += 4)
    for (unsigned row = 0; row < 4; ++row) {
      u8 v = 0;
      for (unsigned k = 0; k < 4; ++k) v ^= kProducts.by[first[(k + 4 - row) & 3]][s[column + k]];
      to[column + row] = v;
    }
  return to;
}
constexpr std::array<u8, 4> kMix{2, 3, 1, 1}, kUnmix{14, 11, 13, 9};

/// ShiftRows and SubBytes in one: row r comes from `by * r` columns on.
Bytes shift_and_substitute(const Bytes& s, const std::array<u8, 256>& box, unsigned by) {
  Bytes to;
  for (unsigned k = 0; k < 16; ++k) to[k] = box[s[(k + 4 * by * (k & 3)) & 15]];
  return to;
}

template <bool Decrypt, bool Last>
struct Round {
  static V128 f(const V128& state, const V128& key) {
    Bytes s = shift_and_substitute(lanes_of<u8>(state), Decrypt ? kBoxes.inverse : kBoxes.forward, Decrypt ? 3 : 1);
    if constexpr (!Last) s = mix_columns(s, Decrypt ? kUnmix : kMix);
    const V128 v = from_lanes<V128>(s);
    return {{v.q[0] ^ key.q[0], v.q[1] ^ key.q[1]}};
  }
};
struct Unmix { static V128 f(const V128&, const V128& b) { return from_lanes<V128>(mix_columns(lanes_of<u8>(b), kUnmix)); } };

u32 substitute(u32 v) {
  u32 to = 0;
  for (unsigned k = 0; k < 32; k += 8) to |= static_cast<u32>(kBoxes.forward[v >> k & 0xff]) << k;
  return to;
}
template <class C, bool M, class E>
Next key_assist(C& c, const Insn& i) {
  Vec<E> b;
  if (!source<E, M>(c, i, b)) return Next::fault;
  const auto x = lanes_of<u32>(b);
  const u32 one = substitute(x[1]), three = substitute(x[3]), constant = static_cast<u8>(i.imm);
  const std::array<u32, 4> to{one, std::rotr(one, 8) ^ constant, three, std::rotr(three, 8) ^ constant};
  set_vreg<E>(c, i.reg, from_lanes<Vec<E>>(to));
  return Next::seq;
}

using C = Cpu;
#define VT_AES(name, op, ...) \
  VT_ROW_SSE(name, "66", 0F38, op " /r", "Vx,Wx", aes, packed, Sse, __VA_ARGS__), VT_ROW_VEX("V" name, "128", "66", 0F38, "WIG", op " /r", "Vx,Hx,Wx", aes, packed, Vex128, __VA_ARGS__)
constexpr Def kRows[] = {
  VT_ROW_SSE("AESIMC", "66", 0F38, "DB /r", "Vx,Wx", aes, packed, Sse, Unmix),
  VT_ROW_VEX("VAESIMC", "128", "66", 0F38, "WIG", "DB /r", "Vx,Wx", aes, packed, Vex128, Unmix),
  VT_AES("AESENC", "DC", Round<false, false>),
  VT_AES("AESENCLAST", "DD", Round<false, true>),
  VT_AES("AESDEC", "DE", Round<true, false>),
  VT_AES("AESDECLAST", "DF", Round<true, true>),
  VT_ROW_SSE("AESKEYGENASSIST", "66", 0F3A, "DF /r ib", "Vx,Wx,Ib", aes, key_assist, Sse),
  VT_ROW_VEX("VAESKEYGENASSIST", "128", "66", 0F3A, "WIG", "DF /r ib", "Vx,Wx,Ib", aes, key_assist, Vex128),
};

}  // namespace

std::span<const Def> aes_rows() { return kRows; }

}  // namespace vt::cpu
