// SPDX-License-Identifier: GPL-2.0-or-later
#include <filesystem>
#include <fstream>

#include "guest.hpp"

namespace vt::emu {
namespace {

namespace files = std::filesystem;

/// A directory that goes away.
struct Directory {
  Directory() {
    std::string name = (files::temp_directory_path() / "vitrine-checkpoint-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
    path = name;
  }
  ~Directory() { files::remove_all(path); }
  std::string file(const char* name) const { return path + "/" + name; }
  std::string path;
};

std::string message(auto f) {
  try { f(); } catch (const std::runtime_error& e) { return e.what(); }
  return "";
}
std::string contents(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

/// inc dword [0x110000]; jmp
const std::vector<u8> kCounts = {0xff, 0x05, 0x00, 0x00, 0x11, 0x00, 0xeb, 0xf8};

TEST(Checkpoint, WhatIsLoadedGoesOnAsWhatWasSaved) {
  Directory d;
  const std::string file = d.file("c.vit");
  Raw a(kCounts), b({0xf4});
  a.machine->run(1001);
  save_checkpoint(*a.machine, file);
  EXPECT_FALSE(files::exists(file + ".part"));
  b.machine->run(1);
  load_checkpoint(*b.machine, file);
  EXPECT_EQ(a.machine->state_hash(), b.machine->state_hash());
  EXPECT_EQ(b.machine->steps(), 1001u);
  EXPECT_EQ(b.peek<u32>(0x110000), 501u);
  a.machine->run(5000);
  b.machine->run(5000);
  EXPECT_EQ(b.peek<u32>(0x110000), 2500u);
  EXPECT_EQ(a.machine->state_hash(), b.machine->state_hash());
}

TEST(Checkpoint, SavingChangesNothingAndTheFileIsTheSameEachTime) {
  Directory d;
  Raw a(kCounts);
  a.machine->run(777);
  const std::string before = a.machine->state_hash();
  save_checkpoint(*a.machine, d.file("1"));
  save_checkpoint(*a.machine, d.file("2"));
  EXPECT_EQ(a.machine->state_hash(), before);
  EXPECT_EQ(contents(d.file("1")), contents(d.file("2")));
}

TEST(Checkpoint, ItsFirstLineNamesFormatAndPlatform) {
  Directory d;
  Raw a(kCounts);
  save_checkpoint(*a.machine, d.file("c"));
  const std::string all = contents(d.file("c")), json = fw::to_json(a.machine->platform());
  EXPECT_EQ(all.substr(0, all.find('\n')), "vitrine.checkpoint/2 platform " + fw::sha256({reinterpret_cast<const u8*>(json.data()), json.size()}));
}

TEST(Checkpoint, WrongFilesAreRefusedByName) {
  Directory d;
  Raw a(kCounts);
  a.machine->run(10);
  const std::string good = d.file("good");
  save_checkpoint(*a.machine, good);
  const std::string bytes = contents(good);
  auto load = [&](const std::string& file) { return message([&] { load_checkpoint(*a.machine, file); }); };

  EXPECT_EQ(load(d.file("absent")), d.file("absent") + ": cannot be opened");
  for (std::size_t n : {std::size_t{0}, std::size_t{5}, std::size_t{60}}) {
    write(d.file("short"), bytes.substr(0, n));
    EXPECT_EQ(load(d.file("short")), d.file("short") + ": not a checkpoint of this version of vitrine");
  }
  std::string other = bytes;
  other[other.find("/1 ") + 1] = '2';
  write(d.file("version"), other);
  EXPECT_EQ(load(d.file("version")), d.file("version") + ": not a checkpoint of this version of vitrine");

  other = bytes;
  char& digit = other[other.find('\n') - 1];
  digit = digit == '0' ? '1' : '0';
  write(d.file("platform"), other);
  EXPECT_EQ(load(d.file("platform")), d.file("platform") + ": a checkpoint of another platform than the run's platform.json describes");

  const std::size_t head = bytes.find('\n') + 1;
  for (std::size_t n : {head, head + 20, head + (bytes.size() - head) / 2, bytes.size() - 20}) {
    write(d.file("cut"), bytes.substr(0, n));
    EXPECT_EQ(load(d.file("cut")), d.file("cut") + ": damaged checkpoint: it ends too early") << n;
  }
}

TEST(Checkpoint, DamagedOnesAreRefusedOrFoundByTheChecksum) {
  Directory d;
  Raw a(kCounts);
  a.machine->run(10);
  save_checkpoint(*a.machine, d.file("good"));
  const std::string bytes = contents(d.file("good")), hash = a.machine->state_hash();
  const std::size_t head = bytes.find('\n') + 1;
  Choice choice(3);
  for (int n = 0; n < 40; ++n) {
    std::string other = bytes;
    other[head + choice.below(other.size() - head)] ^= static_cast<char>(1 << choice.below(8));
    write(d.file("bad"), other);
    Raw b(kCounts);
    const std::string why = message([&] { load_checkpoint(*b.machine, d.file("bad")); });
    if (why.empty()) { EXPECT_EQ(b.machine->state_hash(), hash) << "a bit that says nothing"; continue; }
    EXPECT_TRUE(why.find("bad") != std::string::npos || why.starts_with("damaged state")) << why;
  }
}

TEST(Checkpoint, ADirectoryThatIsNotThereIsSaidByName) {
  Raw a(kCounts);
  EXPECT_EQ(message([&] { save_checkpoint(*a.machine, "/nowhere/at/all"); }), "/nowhere/at/all.part: cannot be opened");
}

}  // namespace
}  // namespace vt::emu
