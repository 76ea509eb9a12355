// SPDX-License-Identifier: GPL-2.0-or-later
#include "disks.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "firmware/image.hpp"
#include "firmware/models.hpp"
#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {

constexpr const char* kPart = ".vitrine-part";
constexpr const char* kInterfaces[] = {"nvme", "ahci"};

std::string real_path(const std::string& file) {
  std::error_code e;
  const auto real = std::filesystem::canonical(file, e);
  return e ? file : real.string();
}

/// All of it, wherever the host stops in between. False: errno.
bool write_all(int fd, const void* from, std::size_t n, u64 at) {
  auto* p = static_cast<const u8*>(from);
  while (n) {
    const ssize_t k = ::pwrite(fd, p, n, static_cast<off_t>(at));
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    p += k, at += static_cast<u64>(k), n -= static_cast<std::size_t>(k);
  }
  return true;
}

/// The bytes of one file in another, holes as holes. False: errno.
bool copy_file(int from, int to, u64 size) {
  if (::ioctl(to, FICLONE, from) == 0) return true;      // a file system that can share blocks
  if (::ftruncate(to, static_cast<off_t>(size)) != 0) return false;
  std::vector<u8> buffer(std::size_t{1} << 20);
  for (u64 at = 0; at < size;) {
    const off_t data = ::lseek(from, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return true;         // nothing but a hole to the end
    if (data >= 0) at = static_cast<u64>(data);
    const off_t hole = data < 0 ? static_cast<off_t>(size) : ::lseek(from, data, SEEK_HOLE);
    const u64 end = hole < 0 ? size : std::min<u64>(size, static_cast<u64>(hole));
    while (at < end) {
      const ssize_t n = ::pread(from, buffer.data(), std::min<u64>(buffer.size(), end - at), static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n == 0) errno = EIO;
      if (n <= 0 || !write_all(to, buffer.data(), static_cast<std::size_t>(n), at)) return false;
      at += static_cast<u64>(n);
    }
  }
  return true;
}

}  // namespace

RawImage::RawImage(std::string file, std::string sha256) : file_(std::move(file)), expected_(std::move(sha256)) {
  fd_ = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) throw InputError(fmt::format("{}: cannot be opened ({}); give a raw disk image as --disk FILE", file_, std::strerror(errno)));
  auto wrong = [this](const std::string& why) {
    ::close(std::exchange(fd_, -1));
    return InputError(file_ + ": " + why);
  };
  struct stat s {};
  if (::fstat(fd_, &s) != 0 || !S_ISREG(s.st_mode)) throw wrong("is not a file; give a raw disk image as --disk FILE");
  size_ = static_cast<u64>(s.st_size);
  seconds_ = s.st_mtim.tv_sec, nanoseconds_ = s.st_mtim.tv_nsec;
  char magic[4] = {};
  if (::pread(fd_, magic, 4, 0) == 4 && std::memcmp(magic, "QFI\xfb", 4) == 0) throw wrong("is a qcow2 image; convert it to a raw one (qemu-img convert -O raw)");
  if (!size_) throw wrong("is empty; make a disk of 64 MiB with truncate -s 64M");
  if (size_ % emu::Disk::kSector)
    throw wrong(fmt::format("has {} bytes, which is no multiple of the sector size 512: it is cut off, or no raw disk image (truncate -s %512 would fill it up)", size_));
}

RawImage::~RawImage() { if (fd_ >= 0) ::close(fd_); }

const std::string& RawImage::sha256() {
  if (sha256_.empty()) sha256_ = fw::sha256_file(file_);
  return sha256_;
}

bool RawImage::read(u64 at, void* to, std::size_t n) {
  if (!failed_.empty()) return false;
  if (!expected_.empty() && sha256() != std::exchange(expected_, {})) {
    failed_ = file_ + ": has changed (another SHA-256) since the run was made: put the old file back, or make a new run";
    return false;
  }
  auto* out = static_cast<u8*>(to);
  while (n) {
    const ssize_t k = ::pread(fd_, out, n, static_cast<off_t>(at));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) failed_ = fmt::format("{}: cannot be read at byte {} ({}); run again when it can", file_, at, std::strerror(errno));
    if (k == 0) failed_ = fmt::format("{}: is shorter than when the run began: it had {} bytes, and ends at byte {} now; put it back and run again", file_, size_, at);
    if (k <= 0) return false;
    out += k, at += static_cast<u64>(k), n -= static_cast<std::size_t>(k);
  }
  return true;
}

std::string RawImage::changed() const {
  struct stat now {}, there {};
  if (::stat(file_.c_str(), &there) != 0) return "is gone";
  if (::fstat(fd_, &now) != 0 || there.st_ino != now.st_ino || there.st_dev != now.st_dev) return "is another file now";
  if (static_cast<u64>(now.st_size) != size_) return "has another size now";
  if (now.st_mtim.tv_sec != seconds_ || now.st_mtim.tv_nsec != nanoseconds_) return "was written to";
  return {};
}

DiskOption parse_disk(const std::string& s) {
  DiskOption o{s, "nvme"};
  if (const auto at = s.rfind(",if="); at != s.npos) {
    o.file = s.substr(0, at), o.interface = s.substr(at + 4);
    if (std::find(std::begin(kInterfaces), std::end(kInterfaces), o.interface) == std::end(kInterfaces))
      throw UsageError(fmt::format("--disk {}: if={}: there are nvme (the default) and ahci", s, o.interface));
  }
  if (o.file.empty()) throw UsageError("--disk: the file is missing; write --disk FILE or --disk FILE,if=ahci");
  return o;
}

std::vector<std::shared_ptr<RawImage>> attach_disks(fw::Platform& p, const std::vector<std::string>& options) {
  struct Place { u8 bus; u16 devfn; unsigned port; auto operator<=>(const Place&) const = default; };
  auto place = [](const fw::PciFunction& f, const fw::PciDisk& d) { return Place{f.bdf.bus(), f.bdf.devfn(), d.port}; };
  std::vector<std::pair<Place, std::shared_ptr<RawImage>>> given;
  auto taken = [&](const Place& at) { return std::any_of(given.begin(), given.end(), [&](auto& g) { return g.first == at; }); };
  for (auto& text : options) {
    const DiskOption o = parse_disk(text);
    auto image = std::make_shared<RawImage>(o.file);
    // An entry that waits for this very image; then one that waits for any of its size.
    std::optional<Place> at;
    for (int by_size = 0; by_size < 2 && !at; ++by_size)
      for (auto& f : p.pci)
        for (auto& d : f.disks)
          if (!at && f.model == o.interface && !taken(place(f, d)) && (by_size ? d.sha256.empty() : d.sha256 == image->sha256())) {
            if (d.size != image->size())
              throw InputError(fmt::format("{}: has {} bytes, and {:02x}:{:02x}.{} waits for a disk of {} (disks in the platform description)", o.file, image->size(), f.bdf.bus(), f.bdf.dev(), f.bdf.fn(), d.size));
            if (by_size) d.sha256 = image->sha256();
            at = place(f, d);
          }
    const unsigned ports = fw::function_model(o.interface)->disks;
    for (auto& f : p.pci)
      for (unsigned port = 0; port < ports && !at; ++port)
        if (f.model == o.interface && std::none_of(f.disks.begin(), f.disks.end(), [&](auto& d) { return d.port == port; })) {
          f.disks.push_back({port, image->size(), image->sha256()});
          at = place(f, f.disks.back());
        }
    if (!at) {
      try {
        auto& f = fw::add_function(p, o.interface);
        f.disks.push_back({0, image->size(), image->sha256()});
        at = place(f, f.disks.back());
      } catch (const std::invalid_argument& e) {
        throw UsageError(fmt::format("--disk {}: {}", text, e.what()));
      }
    }
    given.emplace_back(*at, std::move(image));
  }
  if (!options.empty()) fw::complete(p);
  std::vector<std::shared_ptr<RawImage>> all;
  for (std::size_t i = 0; i < p.pci.size(); ++i)
    for (std::size_t k = 0; k < p.pci[i].disks.size(); ++k) {
      auto& d = p.pci[i].disks[k];
      auto g = std::find_if(given.begin(), given.end(), [&](auto& x) { return x.first == place(p.pci[i], d); });
      if (g == given.end())
        throw fw::PlatformError(p.file, fmt::format("pci[{}].disks[{}]", i, k), fmt::format("is a disk of {} bytes{}; give its image with --disk FILE,if={}", d.size,
                                d.sha256.empty() ? "" : " with SHA-256 " + d.sha256, p.pci[i].model));
      all.push_back(g->second);
    }
  return all;
}

Overlay::Overlay(std::string file, const std::string& image, u64 size, const std::string& sha256)
    : file_(std::move(file)), blocks_((size + emu::Disk::kBlock - 1) / emu::Disk::kBlock), bitmap_((blocks_ + 7) / 8) {
  data_ = kHeader + (bitmap_.size() + 4095) / 4096 * 4096;
  nlohmann::ordered_json head{{"schema", "vitrine.overlay/1"}, {"image", image}, {"size", size}, {"sha256", sha256},
                              {"block", emu::Disk::kBlock}, {"bitmap", kHeader}, {"data", data_}};
  std::string line = head.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  if (line.size() > kHeader) head["image"] = std::filesystem::path(image).filename().string(), line = head.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  line.resize(kHeader, ' ');
  fd_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) throw std::runtime_error(fmt::format("{}: cannot be made ({})", file_, std::strerror(errno)));
  if (::ftruncate(fd_, static_cast<off_t>(data_ + blocks_ * emu::Disk::kBlock)) != 0 || !write_all(fd_, line.data(), line.size(), 0)) {
    const std::string why = std::strerror(errno);
    ::close(fd_);
    throw std::runtime_error(fmt::format("{}: cannot be written ({})", file_, why));
  }
}

Overlay::~Overlay() { ::close(fd_); }

bool Overlay::put(const void* from, std::size_t n, u64 at) {
  if (write_all(fd_, from, n, at)) return true;
  if (!std::exchange(failed_, true))
    print_warning(fmt::format("{}: cannot be written ({}); the run goes on, but this file misses what is written to the disk from now on", file_, std::strerror(errno)));
  return false;
}

void Overlay::written(u64 block, const u8* bytes) {
  if (failed_ || !put(bytes, emu::Disk::kBlock, data_ + block * emu::Disk::kBlock)) return;
  u8& bits = bitmap_[block / 8];
  const u8 now = static_cast<u8>(bits | 1 << block % 8);
  if (now == bits) return;
  bits = now;
  ++blocks_written_;
  put(&bits, 1, kHeader + block / 8);
}

void Overlay::again(const emu::Disk& disk) {
  std::fill(bitmap_.begin(), bitmap_.end(), u8{0});
  blocks_written_ = 0;
  if (failed_ || !put(bitmap_.data(), bitmap_.size(), kHeader)) return;
  for (auto& [at, chunk] : disk.written())
    for (u64 k = 0; k < emu::Disk::kChunk; ++k)
      if (auto& b = chunk->blocks[k]) written(at * emu::Disk::kChunk + k, b->data());
}

std::string commit_directory(const RawImage& image) { return std::filesystem::path(real_path(image.file())).parent_path().string(); }

void check_commit(const RawImage& image) {
  const std::string real = real_path(image.file()), directory = commit_directory(image);
  if (::access(real.c_str(), W_OK) != 0) throw UsageError(fmt::format("--disk-commit: {}: must not be written ({})", image.file(), std::strerror(errno)));
  if (::access(directory.empty() ? "." : directory.c_str(), W_OK) != 0)
    throw UsageError(fmt::format("--disk-commit: {}: must not be written ({}); the merged image is made there, beside the old one", directory, std::strerror(errno)));
}

std::string commit_disk(RawImage& image, const emu::Disk& disk) {
  if (const std::string why = image.changed(); !why.empty())
    throw std::runtime_error(fmt::format("{}: {} while the run went on; nothing was committed, it is left as it is", image.file(), why));
  const std::string real = real_path(image.file()), part = real + kPart;
  struct stat s {};
  const int to = ::fstat(image.descriptor(), &s) == 0 ? ::open(part.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, s.st_mode & 0777) : -1;
  auto give_up = [&] {
    const std::string why = std::strerror(errno);
    if (to >= 0) ::close(to), ::unlink(part.c_str());
    return std::runtime_error(fmt::format("{}: the merged image cannot be made ({}); {} is as it was", part, why, image.file()));
  };
  if (to < 0) throw give_up();
  (void)::fchmod(to, s.st_mode & 07777);
  if (::fchown(to, s.st_uid, s.st_gid) != 0) errno = 0;  // only root can give files away
  if (!copy_file(image.descriptor(), to, image.size())) throw give_up();
  for (auto& [at, chunk] : disk.written())
    for (u64 k = 0; k < emu::Disk::kChunk; ++k)
      if (auto& b = chunk->blocks[k]) {
        const u64 where = (at * emu::Disk::kChunk + k) * emu::Disk::kBlock;
        if (!write_all(to, b->data(), std::min<u64>(emu::Disk::kBlock, image.size() - where), where)) throw give_up();
      }
  if (::fsync(to) != 0) throw give_up();
  const std::string sha = fw::sha256_file(part);
  if (::rename(part.c_str(), real.c_str()) != 0) throw give_up();
  ::close(to);
  const std::string parent = std::filesystem::path(real).parent_path().string();
  if (const int directory = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
  return sha;
}

}  // namespace vt::cli
