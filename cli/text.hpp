// SPDX-License-Identifier: GPL-2.0-or-later
/// Text for people: numbers, tables, what a terminal can do.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.hpp"

namespace vt::cli {

std::string grouped(u64 n);                    ///< 1,234,567
std::string hex(u64 n);                        ///< 0x1f
std::string hex16(u64 n);                      ///< 16 digits, no prefix
std::string size_text(u64 bytes);              ///< 4K, 2M, 1G, 640K, 1234
std::string bdf_text(Bdf b);                   ///< 00:1f.0
std::string access_text(Access a);             ///< "rwx" letters, "-" where not allowed
const char* mem_type_name(unsigned encoding);  ///< SDM 3A "Memory Types": UC WC WT WP WB UC-, "reserved"

/// Numbers as people type them: 4096, 0x1000, 4,096, 64K, 2M, 1G, 1T. Nothing else.
std::optional<u64> parse_number(std::string_view s);
std::optional<u8> hex_byte(std::string_view s);     ///< two digits
std::optional<Bdf> parse_bdf(std::string_view s);   ///< [0000:]00:1f.0

std::vector<std::string> split(std::string_view s, char at);   ///< "a,,b": three words, one empty

/// Inclusive on both ends: 0x1000-0x1fff, 0x1000+4K, or one address.
struct AddressRange {
  u64 first = 0, last = ~u64{0};
  bool all() const { return first == 0 && last == ~u64{0}; }
};
std::optional<AddressRange> parse_range(std::string_view s);

/// 12.5%; of nothing: empty.
std::string percent(u64 n, u64 of);

/// Columns aligned by the widest cell; `right` says which are numbers ('r') by position ("lrl").
std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view right = {}, unsigned indent = 0);

bool is_terminal(int fd);
/// stderr may be coloured: a terminal, and NO_COLOR is not set.
bool colour_on_stderr();

/// vitrine: error: ...
void print_error(std::string_view message);
void print_warning(std::string_view message);

}  // namespace vt::cli
