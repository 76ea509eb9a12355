// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <nettle/sha2.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>

#include "loader.hpp"

namespace vt::fw {
namespace {

constexpr u64 kLargest = u64{4} << 30;   // nothing larger fits below 4 GiB

struct File {
  std::FILE* f;
  ~File() { if (f) std::fclose(f); }
};

template <class F> void each_chunk(const std::string& file, F use) {
  struct stat s;
  File in{std::fopen(file.c_str(), "rb")};
  if (!in.f) throw LoadError(file, fmt::format("cannot be opened ({}); check the path", std::strerror(errno)));
  if (!::fstat(fileno(in.f), &s) && S_ISDIR(s.st_mode)) throw LoadError(file, "is a directory; give a file");
  std::vector<u8> chunk(1 << 18);
  for (;;) {
    std::size_t n = std::fread(chunk.data(), 1, chunk.size(), in.f);
    if (!n) break;
    use(std::span<const u8>(chunk.data(), n));
  }
  if (std::ferror(in.f)) throw LoadError(file, fmt::format("cannot be read ({})", std::strerror(errno)));
}

std::string hex(sha256_ctx& ctx) {
  u8 digest[SHA256_DIGEST_SIZE];
  sha256_digest(&ctx, sizeof digest, digest);
  std::string s;
  for (u8 b : digest) s += fmt::format("{:02x}", b);
  return s;
}

}  // namespace

std::vector<u8> read_file(const std::string& file) {
  std::vector<u8> out;
  each_chunk(file, [&](std::span<const u8> c) {
    if (out.size() + c.size() > kLargest) throw LoadError(file, "is larger than 4 GiB and cannot be loaded");
    out.insert(out.end(), c.begin(), c.end());
  });
  if (out.empty()) throw LoadError(file, "is empty; copy or build it again");
  return out;
}

std::vector<u8> gunzip(std::vector<u8> data, const std::string& file) {
  if (data.size() < 2 || data[0] != 0x1f || data[1] != 0x8b) return data;
  z_stream z{};
  if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) throw LoadError(file, "cannot be unpacked: out of memory");
  std::vector<u8> out, chunk(1 << 18);
  z.next_in = data.data(), z.avail_in = static_cast<uInt>(std::min<u64>(data.size(), 0xffffffff));
  const char* wrong = nullptr;
  for (;;) {
    z.next_out = chunk.data(), z.avail_out = static_cast<uInt>(chunk.size());
    int result = inflate(&z, Z_NO_FLUSH);
    out.insert(out.end(), chunk.data(), chunk.data() + (chunk.size() - z.avail_out));
    if (result == Z_STREAM_END) {
      // A gzip file may have several members; zeros or other bytes may follow the last.
      if (z.avail_in < 2 || z.next_in[0] != 0x1f || z.next_in[1] != 0x8b) break;
      inflateReset(&z);
    } else if (result == Z_BUF_ERROR || (result == Z_OK && !z.avail_in && z.avail_out)) {
      wrong = "the gzip data is cut short; copy it again";
      break;
    } else if (result != Z_OK) {
      wrong = "the gzip data is damaged; copy it again";
      break;
    }
    if (out.size() > kLargest) { wrong = "unpacks to more than 4 GiB"; break; }
  }
  inflateEnd(&z);
  if (wrong) throw LoadError(file, wrong);
  if (out.empty()) throw LoadError(file, "unpacks to nothing; copy or build it again");
  return out;
}

std::string sha256_file(const std::string& file) {
  sha256_ctx ctx;
  sha256_init(&ctx);
  each_chunk(file, [&](std::span<const u8> c) { sha256_update(&ctx, c.size(), c.data()); });
  return hex(ctx);
}

std::string sha256(std::span<const u8> bytes) {
  sha256_ctx ctx;
  sha256_init(&ctx);
  sha256_update(&ctx, bytes.size(), bytes.data());
  return hex(ctx);
}

}  // namespace vt::fw
