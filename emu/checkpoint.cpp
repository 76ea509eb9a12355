// SPDX-License-Identifier: GPL-2.0-or-later
/// Format "vitrine.checkpoint/2": a line of text with that name and the SHA-256 of the platform's canonical
/// JSON, then one zstd frame of the machine's state (emu::Machine::state).
#include <zstd.h>

#include <cstdio>
#include <utility>

#include "emu/machine.hpp"

namespace vt::emu {
namespace {

constexpr char kFormat[] = "vitrine.checkpoint/2";

struct File {
  File(const std::string& name, const char* how) : name(name), f(std::fopen(name.c_str(), how)) { if (!f) fail("cannot be opened"); }
  ~File() { if (f) std::fclose(f); }
  [[noreturn]] void fail(const char* why) const { throw std::runtime_error(name + ": " + why); }
  void close() { if (std::fclose(std::exchange(f, nullptr)) != 0) fail("cannot be written (disk full?)"); }
  std::string name;
  std::FILE* f;
};

class ZstdSave final : public Ar {
 public:
  explicit ZstdSave(File& file) : file_(file), stream_(ZSTD_createCCtx()), buffer_(ZSTD_CStreamOutSize()) {
    ZSTD_CCtx_setParameter(stream_, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(stream_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdSave() override { ZSTD_freeCCtx(stream_); }
  void bytes(void* p, std::size_t n) override { pump({p, n, 0}, ZSTD_e_continue); }
  void finish() { pump({nullptr, 0, 0}, ZSTD_e_end); }

 private:
  void pump(ZSTD_inBuffer in, ZSTD_EndDirective how) {
    for (;;) {
      ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
      const std::size_t left = ZSTD_compressStream2(stream_, &out, &in, how);
      if (ZSTD_isError(left)) file_.fail(ZSTD_getErrorName(left));
      if (out.pos && std::fwrite(buffer_.data(), 1, out.pos, file_.f) != out.pos) file_.fail("cannot be written (disk full?)");
      if (how == ZSTD_e_end ? left == 0 : in.pos == in.size) return;
    }
  }
  File& file_;
  ZSTD_CCtx* stream_;
  std::vector<char> buffer_;
};

class ZstdLoad final : public Ar {
 public:
  explicit ZstdLoad(File& file) : file_(file), stream_(ZSTD_createDCtx()), buffer_(ZSTD_DStreamInSize()) {}
  ~ZstdLoad() override { ZSTD_freeDCtx(stream_); }
  bool loading() const override { return true; }
  void bytes(void* p, std::size_t n) override {
    ZSTD_outBuffer out{p, n, 0};
    while (out.pos < out.size) step(out);
  }
  /// To the end of the frame, where its checksum is.
  void finish() {
    char more;
    ZSTD_outBuffer out{&more, 1, 0};
    while (left_ != 0 && out.pos == 0) step(out);
    if (out.pos) file_.fail("damaged checkpoint: there is more in it than a machine's state");
  }

 private:
  void step(ZSTD_outBuffer& out) {
    if (in_.pos == in_.size) {
      in_ = {buffer_.data(), std::fread(buffer_.data(), 1, buffer_.size(), file_.f), 0};
      if (in_.size == 0) file_.fail("damaged checkpoint: it ends too early");
    }
    left_ = ZSTD_decompressStream(stream_, &out, &in_);
    if (ZSTD_isError(left_)) file_.fail(ZSTD_getErrorName(left_));
  }
  std::size_t left_ = 1;  ///< 0: the frame is complete
  File& file_;
  ZSTD_DCtx* stream_;
  std::vector<char> buffer_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
};

std::string header(const Machine& m) {
  const std::string json = fw::to_json(m.platform());
  return std::string(kFormat) + " platform " + fw::sha256({reinterpret_cast<const u8*>(json.data()), json.size()}) + "\n";
}

}  // namespace

void save_checkpoint(Machine& m, const std::string& name) {
  const std::string part = name + ".part";
  try {
    File file(part, "wb");
    const std::string head = header(m);
    if (std::fwrite(head.data(), 1, head.size(), file.f) != head.size()) file.fail("cannot be written (disk full?)");
    ZstdSave ar(file);
    m.state(ar);
    ar.finish();
    file.close();
    if (std::rename(part.c_str(), name.c_str()) != 0) throw std::runtime_error(name + ": cannot be put in place");
  } catch (...) {
    std::remove(part.c_str());   // on a full disk there is more to be written than this
    throw;
  }
}

void load_checkpoint(Machine& m, const std::string& name) {
  File file(name, "rb");
  const std::string want = header(m);
  std::string got(want.size(), '\0');
  if (std::fread(got.data(), 1, got.size(), file.f) != got.size() || got.rfind(kFormat, 0) != 0) file.fail("not a checkpoint of this version of vitrine");
  if (got != want) file.fail("a checkpoint of another platform than the run's platform.json describes");
  ZstdLoad ar(file);
  m.state(ar);
  ar.finish();
}

}  // namespace vt::emu
