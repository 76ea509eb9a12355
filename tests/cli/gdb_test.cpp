// SPDX-License-Identifier: GPL-2.0-or-later
/// The remote protocol, packet by packet: framing, what clients may send, going forwards and backwards; all on a few bytes of code.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "gdb/elsewhere.hpp"
#include "gdb/registers.hpp"
#include "gdb_session.hpp"
#include "pci/config.hpp"
#include "show.hpp"

namespace vt::cli::gdb {
namespace {

using Kind = PacketReader::Kind;

std::vector<PacketReader::Item> read(std::string_view bytes, std::size_t piece = 1000) {
  PacketReader r;
  for (std::size_t at = 0; at < bytes.size(); at += piece) r.feed(bytes.substr(at, piece));
  std::vector<PacketReader::Item> all;
  while (auto i = r.next()) all.push_back(*i);
  return all;
}

TEST(gdb_packet, a_frame_is_read_back_whatever_is_in_it) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  for (const std::string& s : {std::string("g"), std::string(), std::string("}$#*}}"), all})
    for (std::size_t piece : {1u, 2u, 7u, 1000u}) {
      const auto got = read(frame(s), piece);
      ASSERT_EQ(got.size(), 1u);
      EXPECT_EQ(got[0].kind, Kind::packet);
      EXPECT_EQ(got[0].data, s);
    }
}

TEST(gdb_packet, checksums_acknowledgements_and_interrupts) {
  const auto got = read("+-\x03$g#67$g#68noise$m1,2#00");
  ASSERT_EQ(got.size(), 6u);
  EXPECT_EQ(got[0].kind, Kind::ack);
  EXPECT_EQ(got[1].kind, Kind::nack);
  EXPECT_EQ(got[2].kind, Kind::interrupt);
  EXPECT_EQ(got[3].kind, Kind::packet);
  EXPECT_EQ(got[3].data, "g");
  EXPECT_EQ(got[4].kind, Kind::bad);
  EXPECT_EQ(got[5].kind, Kind::bad);
}

TEST(gdb_packet, truncated_ones_give_way_to_the_next) {
  auto got = read("$m12345$g#67");
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].data, "g");
  got = read("$g#6$g#67");   // cut off in the checksum
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].kind, Kind::bad);
  EXPECT_EQ(got[1].data, "g");
  EXPECT_TRUE(read("$never ends").empty());
  EXPECT_TRUE(read("$}").empty());
}

TEST(gdb_packet, giant_ones_are_lost_whole) {
  PacketReader r;
  r.feed(frame(std::string(PacketReader::kMax, 'x')));
  EXPECT_EQ(r.next()->kind, Kind::packet);
  for (int n = 0; n < 1000; ++n) r.feed(n ? std::string(100'000, 'x') : "$" + std::string(100'000, 'x'));
  EXPECT_FALSE(r.next());
  u8 sum = 0;
  for (int n = 0; n < 100'000'000 % 256; ++n) sum = static_cast<u8>(sum + 'x');
  r.feed(fmt::format("#{:02x}$g#67", sum));
  EXPECT_EQ(r.next()->kind, Kind::too_long);
  EXPECT_EQ(r.next()->data, "g");
}

TEST(gdb_packet, any_bytes_can_come) {
  u64 x = 88172645463325252;
  PacketReader r;
  for (int n = 0; n < 400'000; ++n) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    static constexpr char kLikely[] = "$#}*+-0123456789abcdef\x03";
    const char c = x & 1 ? kLikely[(x >> 8) % (sizeof kLikely - 1)] : static_cast<char>(x >> 16);
    r.feed({&c, 1});
    while (auto i = r.next()) EXPECT_LE(i->data.size(), PacketReader::kMax);
  }
}

TEST(gdb_packet, an_interrupt_is_found_behind_packets) {
  PacketReader r;
  r.feed("$g#67\x03");
  EXPECT_TRUE(r.take_interrupt());
  EXPECT_FALSE(r.take_interrupt());
  EXPECT_EQ(r.next()->data, "g");
}

TEST(gdb_packet, numbers) {
  std::string_view s = "1fG";
  EXPECT_EQ(take_hex(s), 0x1fu);
  EXPECT_EQ(s, "G");
  EXPECT_FALSE(take_hex(s));
  s = "ffffffffffffffff";
  EXPECT_EQ(take_hex(s), ~u64{0});
  s = "10000000000000000";
  EXPECT_FALSE(take_hex(s));
  EXPECT_EQ(from_hex("4a6"), std::nullopt);
  EXPECT_EQ(from_hex("zz"), std::nullopt);
  EXPECT_EQ(from_hex(to_hex("any")), "any");
}

TEST(gdb_stub, introduces_itself) {
  Session s;
  const std::string features = s("qSupported:multiprocess+;swbreak+;hwbreak+");
  for (const char* f : {"PacketSize=4000", "ReverseStep+", "ReverseContinue+", "qXfer:features:read+", "QStartNoAckMode+"}) EXPECT_NE(features.find(f), std::string::npos) << f;
  EXPECT_EQ(s("?"), "T05thread:1;");
  EXPECT_EQ(s("qfThreadInfo"), "m1");
  EXPECT_EQ(s("qsThreadInfo"), "l");
  EXPECT_EQ(s("qC"), "QC1");
  EXPECT_EQ(from_hex(s("qThreadExtraInfo,1")), "cpu 0: 32-bit, CPL 0, VMX off");
  EXPECT_EQ(s("QNonStop:0"), "OK");
  EXPECT_EQ(s("QNonStop:1").substr(0, 2), "E.");
  EXPECT_EQ(s("vMustReplyEmpty"), "");
  EXPECT_EQ(s("T2"), "E22");
  EXPECT_EQ(s("Hg1"), "OK");
  EXPECT_EQ(s("Hg9"), "E22");
}

TEST(gdb_stub, describes_and_gives_registers) {
  Session s;
  std::string xml;
  for (u64 at = 0;; ) {
    const std::string part = s(fmt::format("qXfer:features:read:target.xml:{:x},200", at));
    ASSERT_FALSE(part.empty());
    xml += part.substr(1), at += part.size() - 1;
    if (part[0] == 'l') break;
  }
  EXPECT_EQ(xml, target_xml());
  EXPECT_EQ(s("qXfer:features:read:target.xml:ffffff,10"), "l");
  EXPECT_EQ(s("qXfer:features:read:other.xml:0,10"), "E00");
  const std::string all = *from_hex(s("g"));
  std::size_t bits = 0;
  for (auto& r : registers()) bits += r.bits;
  EXPECT_EQ(all.size(), bits / 8);
  EXPECT_EQ(s("p10"), "0000100000000000");   // rip
  EXPECT_EQ(s("p7"), "0000200000000000");    // rsp
  EXPECT_EQ(s("pfff"), "E45");
  EXPECT_EQ(s("p"), "E22");
}

TEST(gdb_stub, memory_is_read_as_far_as_it_goes) {
  Session s;
  EXPECT_EQ(s("m100000,4"), "b9e80300");
  EXPECT_EQ(s("m3fffffe,4").size(), 4u);       // the last two bytes of 64 MiB
  EXPECT_EQ(s("m80000000,4"), "E14");
  EXPECT_EQ(s("m100000,0"), "");
  EXPECT_LE(s("m100000,ffffffffffffffff").size(), PacketReader::kMax);
  for (const char* bad : {"m", "m,", "m1", "mx,1", "m1,", "m1,2,3", "m11111111111111111,1", "X", "X1,2"}) EXPECT_NE(s(bad).substr(0, 1), "0") << bad;
}

TEST(gdb_stub, a_run_cannot_be_changed) {
  Session s;
  for (const char* p : {"G00", "P10=00", "M100000,1:90", "X100000,1:\x90", "c100000", "s100000"}) EXPECT_EQ(s(p).substr(0, 2), "E.") << p;
  EXPECT_EQ(s("m100000,1"), "b9");
  s("c");
  EXPECT_EQ(s.source.machine().state_hash(), plain_hash());
}

/// The read of each round is at step 4n + 1, the write at 4n + 3.
TEST(gdb_stub, read_and_access_watchpoints_forwards_and_backwards) {
  Session s;
  EXPECT_EQ(s("Z3,102000,4"), "OK");
  for (u64 n = 0; n < 3; ++n) {
    EXPECT_EQ(s("vCont;c"), "T05thread:1;rwatch:102000;");
    EXPECT_EQ(s.player.now(), 4 * n + 2);
  }
  EXPECT_EQ(s("bc"), "T05thread:1;rwatch:102000;");
  EXPECT_EQ(s.player.now(), 9u);
  EXPECT_EQ(s("bc"), "T05thread:1;rwatch:102000;");
  EXPECT_EQ(s.player.now(), 5u);
  EXPECT_EQ(s("z4,102000,4"), "E02");
  EXPECT_EQ(s("z3,102000,4"), "OK");
  EXPECT_EQ(s("Z4,102002,1"), "OK");
  EXPECT_EQ(s("vCont;c"), "T05thread:1;awatch:102002;");
  EXPECT_EQ(s.player.now(), 6u);
  EXPECT_EQ(s("vCont;c"), "T05thread:1;awatch:102002;");
  EXPECT_EQ(s.player.now(), 8u);
  EXPECT_EQ(s("vCont;s:1"), "T05thread:1;");
  EXPECT_EQ(s("vCont;s:1"), "T05thread:1;awatch:102002;");
  EXPECT_EQ(s("z4,102002,1"), "OK");
  EXPECT_EQ(s("Z3,102004,4"), "OK");                       // the same page, other bytes
  EXPECT_EQ(s.monitor.run("watch-phys 102000 4 r", 0), "4 bytes at hpa 0x102000 are watched for reads\n");
  EXPECT_EQ(s("bc"), "T05thread:1;");
  EXPECT_EQ(s.player.now(), 9u);
  EXPECT_EQ(s.monitor.run("watch-phys off 102000 4 r", 0), "");
  EXPECT_EQ(s("vCont;c"), "T05thread:1;replaylog:end;");
  EXPECT_EQ(s.source.machine().state_hash(), plain_hash());
}

// 100000: mov al, 41   100002: out 80, al   100004: mov ecx, 10   100009: rdmsr   10000b: mov eax, [fee00020]   100010: jmp 100010
const std::vector<u8> kAccesses{0xb0, 0x41, 0xe6, 0x80, 0xb9, 0x10, 0, 0, 0, 0x0f, 0x32, 0xa1, 0x20, 0, 0xe0, 0xfe, 0xeb, 0xfe};

TEST(gdb_stub, stops_on_ports_msrs_and_device_registers) {
  Session s(kAccesses, 100);
  EXPECT_EQ(s.monitor.run("stop-on port:80", 0), "catch point 1: port:80\n");
  s.monitor.run("stop-on msr:10", 0), s.monitor.run("stop-on msr:11", 0), s.monitor.run("stop-on mmio:fee00020", 0), s.monitor.run("stop-on port:81", 0);
  for (u64 at : {2, 4, 5}) {
    EXPECT_EQ(s("vCont;c"), "T05thread:1;");
    EXPECT_EQ(s.player.now(), at);
  }
  std::string said;
  for (auto& p : s.sent) said += *from_hex(std::string_view(p).substr(1));
  for (const char* what : {"port:80: write of 1 byte at port 0x80, value 0x41 at step 1", "msr:10: RDMSR 0x10, value 0x3 at step 3", "mmio:fee00020: read of 4 bytes at hpa 0xfee00020, value 0x0 at step 4"})
    EXPECT_NE(said.find(what), std::string::npos) << said;
  for (u64 at : {4, 3, 1}) {
    EXPECT_EQ(s("bc"), "T05thread:1;");
    EXPECT_EQ(s.player.now(), at);
  }
  EXPECT_EQ(s("bc"), "T05thread:1;replaylog:begin;");
  EXPECT_NE(s.monitor.run("stop-on port:10000", 0).find("no such port"), std::string::npos);
  EXPECT_NE(s.monitor.run("stop-on msr:efer", 0).find("not a hexadecimal address"), std::string::npos);
}

TEST(gdb_stub, steps_and_breakpoints_forwards_and_backwards) {
  Session s;
  s("qSupported:swbreak+;hwbreak+");
  EXPECT_EQ(s("vCont;s:1"), "T05thread:1;");
  EXPECT_EQ(s.rip(), 0x100005u);
  EXPECT_EQ(s("Z0,10000b,1"), "OK");
  EXPECT_EQ(s("vCont;c"), "T05thread:1;swbreak:;");
  EXPECT_EQ(s.rip(), 0x10000bu);
  EXPECT_EQ(s.player.now(), 3u);
  EXPECT_EQ(s("m10000b,1"), "a3");                 // unseen
  for (u32 n = 0; n < 10; ++n) s("c");
  EXPECT_EQ(s.counter(), 10u);
  EXPECT_EQ(s.player.now(), 43u);
  EXPECT_EQ(s("bs"), "T05thread:1;");
  EXPECT_EQ(s.player.now(), 42u);
  EXPECT_EQ(s.rip(), 0x10000au);
  EXPECT_EQ(s("bc"), "T05thread:1;swbreak:;");
  EXPECT_EQ(s.player.now(), 39u);
  EXPECT_EQ(s.counter(), 9u);
  EXPECT_EQ(s("z0,10000b,1"), "OK");
  EXPECT_EQ(s("z0,10000b,1"), "E02");
  EXPECT_EQ(s("bc"), "T05thread:1;replaylog:begin;");
  EXPECT_EQ(s.player.now(), 0u);
  EXPECT_EQ(s("bs"), "T05thread:1;replaylog:begin;");
  EXPECT_EQ(s("vCont;r100000,100012:1"), "T05thread:1;");   // the whole loop
  EXPECT_EQ(s.rip(), 0x100012u);
  EXPECT_EQ(s.counter(), 1000u);
  EXPECT_EQ(s("c"), "T05thread:1;replaylog:end;");
  EXPECT_EQ(s.player.now(), kEnd);
  EXPECT_EQ(s.source.machine().state_hash(), plain_hash());
  EXPECT_GT(s.source.rewinds, 0);
}

TEST(gdb_stub, a_watchpoint_stops_behind_the_write_and_backwards_before_it) {
  Session s;
  EXPECT_EQ(s("Z2,102000,4"), "OK");
  for (u32 n = 1; n <= 5; ++n) {
    EXPECT_EQ(s("c"), "T05thread:1;watch:102000;");
    EXPECT_EQ(s.counter(), n);
    EXPECT_EQ(s.rip(), 0x100010u);
  }
  s("z2,102000,4");
  s("c");
  EXPECT_EQ(s.player.now(), kEnd);
  s("Z2,102002,2");                                 // bytes within what is written
  EXPECT_EQ(s("bc"), "T05thread:1;watch:102002;");
  EXPECT_EQ(s.counter(), 999u);
  EXPECT_EQ(s.rip(), 0x10000bu);
  EXPECT_EQ(s("Z2,80000000,4").substr(0, 2), "E.");
  EXPECT_EQ(s("Z2,102000,0").substr(0, 2), "E.");
  EXPECT_EQ(s("Z5,102000,4"), "");
  s("z2,102002,2"), s("c");
  EXPECT_EQ(s.source.machine().state_hash(), plain_hash());
}

TEST(gdb_stub, backwards_and_forwards_again_the_registers_are_the_same) {
  Session s;
  std::vector<std::string> seen;
  for (int n = 0; n < 300; ++n) seen.push_back(s("g")), s("s");
  for (int n = 299; n >= 0; --n) {
    s("bs");
    EXPECT_EQ(s("g"), seen[static_cast<std::size_t>(n)]) << n;
  }
}

TEST(gdb_stub, on_several_processors_a_step_is_the_chosen_ones) {
  Session s(kCount, kEnd, 4);
  EXPECT_EQ(s("qfThreadInfo"), "m1,2,3,4");
  EXPECT_EQ(s("vCont;s:1;c"), "T05thread:1;");
  EXPECT_EQ(s.rip(), 0x100005u);
  s("vCont;s:1;c");
  EXPECT_EQ(s("Hc1"), "OK");
  EXPECT_EQ(s("bs"), "T05thread:1;");
  EXPECT_EQ(s.rip(), 0x100005u);
  EXPECT_EQ(s("vCont;s:5"), "E22");
}

TEST(gdb_stub, any_packet_can_come) {
  Session s;
  u64 x = 88172645463325252;
  auto random = [&] { x ^= x << 13, x ^= x >> 7, x ^= x << 17; return x >> 8; };
  static const char* const kBegin[] = {"m", "M", "X", "g", "G", "p", "P", "H", "T", "Z0,", "Z1,", "Z2,", "Z3,", "z0,", "z2,", "vCont;", "vCont", "qXfer:features:read:", "qRcmd,",
                                       "qThreadExtraInfo,", "Q", "q", "b", "C", "S", "?", "v", "qSupported", "QNonStop:"};
  static constexpr char kLikely[] = "0123456789abcdef,:;-+.=rcsCS\0 ";
  for (int n = 0; n < 30'000; ++n) {
    std::string p = kBegin[random() % std::size(kBegin)];
    for (u64 k = random() % 24; k; --k) p += random() % 8 ? kLikely[random() % (sizeof kLikely - 1)] : static_cast<char>(random());
    const auto a = s.stub.handle(p);
    EXPECT_LE(a.reply.size(), PacketReader::kMax + 16) << p;
    s.sent.clear();
    if (s.player.now() >= kEnd) s.player.seek(0, {});
  }
  for (const auto& steps = s.player.catches(); !steps.empty();) s.player.remove_catch(steps.begin()->first);
  while (s.player.now() < kEnd) s("s");
  EXPECT_EQ(s.source.machine().state_hash(), plain_hash());
}

TEST(gdb_monitor, every_command_answers_and_changes_nothing) {
  Session s;
  s("vCont;s:1");
  const std::string before = s.source.machine().state_hash();
  const std::string help = s.monitor.run("help", 0);
  for (const char* c : {"when", "bt", "regs", "disasm", "events", "vmcs", "msr", "lapic", "ioapic", "pci", "iommu", "tlb", "stop-on", "bookmark here", "bookmark", "phys 100000 32"}) {
    EXPECT_NE(help.find(std::string(c).substr(0, std::string(c).find(' '))), std::string::npos) << c;
    EXPECT_FALSE(s.monitor.run(c, 0).empty()) << c;
  }
  EXPECT_EQ(s.source.machine().state_hash(), before);
  EXPECT_NE(s.monitor.run("disasm 100000 2", 0).find("mov ecx, 0x3e8"), std::string::npos);
  EXPECT_NE(s.monitor.run("disasm", 0).find("=> 0000000000100005"), std::string::npos);
  EXPECT_NE(s.monitor.run("goto 50%", 0).find("step 2,500 of 5,000"), std::string::npos);
  EXPECT_NE(s.monitor.run("goto here", 0).find("step 1 of"), std::string::npos);
  EXPECT_EQ(s.source.machine().state_hash(), before);
  EXPECT_NE(s.monitor.run("goto +9", 0).find("step 10 of"), std::string::npos);
  EXPECT_NE(s.monitor.run("goto end", 0).find("step 5,000 of"), std::string::npos);
  for (const char* bad : {"goto", "goto nowhere", "goto 101%", "goto 5%x", "stop-on exit", "stop-on vm-exit:none", "stop-on off 7", "nothing", "watch-phys", "watch-phys fff00000000", "phys", "pci 99:1f.7",
                          "msr nothing", "bookmark 12", "disasm nowhere", "events x"})
    EXPECT_FALSE(s.monitor.run(bad, 0).empty()) << bad;
  EXPECT_EQ(s.source.machine().state_hash(), plain_hash());
}

TEST(gdb_monitor, a_write_to_physical_memory_stops) {
  Session s;
  EXPECT_NE(s.monitor.run("watch-phys 102000 4", 0).find("4 bytes"), std::string::npos);
  EXPECT_EQ(s("c"), "T05thread:1;");
  EXPECT_EQ(s.counter(), 1u);
  ASSERT_EQ(s.sent.size(), 1u);
  EXPECT_EQ(from_hex(std::string_view(s.sent[0]).substr(1)), "hpa 0x102000 is written at step 3, rip 0x10000b\n");
  EXPECT_EQ(s.monitor.run("watch-phys off 102000 4", 0), "");
  EXPECT_NE(s.monitor.run("watch-phys off 102000 4", 0), "");
  EXPECT_EQ(s("c"), "T05thread:1;replaylog:end;");
}

/// What clients of all kinds have sent, and what becomes of that when bytes are changed, cut out, repeated and put together.
TEST(gdb_hostile, mutated_conversations_leave_the_run_as_it_is) {
  static const std::string kSaid[] = {
    frame("qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;vContSupported+"), frame("vCont?"), frame("vMustReplyEmpty"), frame("QStartNoAckMode"), frame("Hgp0.0"), frame("Hg0"),
    frame("qXfer:features:read:target.xml:0,1000"), frame("qTStatus"), frame("?"), frame("qfThreadInfo"), frame("qsThreadInfo"), frame("qAttached"), frame("Hc-1"), frame("qOffsets"), frame("g"),
    frame("m100000,40"), frame("Z0,10000b,1"), frame("Z2,102000,4"), frame("vCont;c"), frame("vCont;s:1;c"), frame("vCont;r100000,100012:1"), frame("bs"), frame("bc"), frame("z0,10000b,1"),
    frame("qRcmd,68656c70"), frame("qRcmd," + to_hex("goto 50%")), frame("qRcmd," + to_hex("stop-on exception:14")), frame("qRcmd," + to_hex("watch-phys 102000 4")), frame("qRcmd," + to_hex("irq")),
    frame("qRcmd," + to_hex("blame gfn:a0")), frame("X100000,0:"), frame("M100000,1:90"), frame("G00"), frame("P10=00"), frame("D"), frame("k"), "+", "-", "\x03", "$", "#00", "}"};
  u64 x = 0x9e3779b97f4a7c15;
  auto random = [&](u64 n) { x ^= x << 13, x ^= x >> 7, x ^= x << 17; return (x >> 11) % n; };
  Client client;
  for (int n = 0; n < 2500; ++n) {
    std::string s;
    for (u64 k = 1 + random(8); k; --k) s += kSaid[random(std::size(kSaid))];
    for (u64 k = random(6); k; --k) {
      const std::size_t at = random(s.size() + 1), length = std::min<std::size_t>(random(12), s.size() - at);
      switch (random(6)) {
        case 0: if (at < s.size()) s[at] = static_cast<char>(random(256)); break;
        case 1: s.erase(at, length); break;
        case 2: s.insert(at, s.substr(at, length)); break;
        case 3: s.insert(at, 1, static_cast<char>(random(256))); break;
        case 4: s.insert(at, random(8) ? "ffffffffffffffff" : std::string(PacketReader::kMax + random(64), 'f')); break;
        default: s.resize(at); break;
      }
      if (s.empty()) break;
    }
    // Most of the sums are wrong by now, and what has a wrong one is never looked at: so every other is put right.
    if (n % 2) {
      std::string right;
      for (std::size_t begin = s.find('$'); begin != s.npos; begin = s.find('$', begin + 1)) {
        const std::size_t end = s.find_first_of("#$", begin + 1);
        right += frame(std::string_view(s).substr(begin + 1, (end == s.npos ? s.size() : end) - begin - 1));
      }
      s = right;
    }
    client.send(s, 1 + random(64));
  }
  EXPECT_LE(client.reply, PacketReader::kMax + 16);
  EXPECT_EQ(client.end_hash(), Client::plain());
}

TEST(gdb_monitor, views_are_those_of_the_command) {
  Session s;
  for (auto& v : show_views()) EXPECT_EQ(s.monitor.run(v.name, 0), v.show({s.source.machine(), 0, nullptr, &s.player.events()}, {}).text) << v.name;
  const std::string irq = s.monitor.run("irq", 0);
  for (const char* part : {"cpu 0: local APIC id 0", "in service none", "8259 pair: INTR quiet", "I/O APIC, requester", "24 pins are masked and quiet"}) EXPECT_NE(irq.find(part), std::string::npos) << part << irq;
  EXPECT_NE(s.monitor.run("i", 0).find(" or "), std::string::npos);   // ioapic, iommu, irq
}

// PCI Local Bus "MSI-X Capability and Table Structures": what a vector sends, masked and pending ones too.
TEST(gdb_monitor, irq_shows_msi_x) {
  PlatformOptions o;
  o.memory = "64M", o.devices = {"nvme"};
  ConsoleTap tap;
  emu::Machine m(make_platform(o), tap);
  emu::pci::Function* f = nullptr;
  for (auto& g : m.pci().functions()) if (g->msix_vectors()) f = g.get();
  ASSERT_TRUE(f);
  u16 at = static_cast<u16>(f->config_read(0x34, 1));
  while (f->config_read(at, 1) != 0x11) at = static_cast<u16>(f->config_read(static_cast<u16>(at + 1), 1));
  for (unsigned n : {0u, 1u}) {
    f->msix_write(f->msix_table() + 16 * n, 4, 0xfee00000), f->msix_write(f->msix_table() + 16 * n + 8, 4, 0x41 + n);
    f->msix_write(f->msix_table() + 16 * n + 12, 4, n);
  }
  EXPECT_EQ(show_interrupts({m}, {}).text.find("MSI-X"), std::string::npos) << "not enabled";
  f->config_write(static_cast<u16>(at + 2), 2, 0x8000);
  f->send_msix(1);
  const Shown s = show_interrupts({m}, {});
  EXPECT_NE(s.text.find("MSI-X 0 of 00:05.0  0xfee00000 <- 0041  vector 41 to id 0: cpu 0"), std::string::npos) << s.text;
  EXPECT_NE(s.text.find("MSI-X 1 of 00:05.0  0xfee00000 <- 0042  masked, pending, vector 42"), std::string::npos) << s.text;
  ASSERT_EQ(s.data["msi"].size(), 2u);
  EXPECT_EQ(s.data["msi"][1]["vector"], 1);
  EXPECT_EQ(s.data["msi"][1]["pending"], true);
}

// mov dx, 3f8h; mov al, 'g'; out dx, al; mov ecx, 5000000; loop $; mov al, 'o'; out dx, al; jmp $: a checkpoint lies between the two bytes.
TEST(gdb_stub, a_console_text_across_a_checkpoint_is_met_backwards_too) {
  Session s({0x66, 0xba, 0xf8, 0x03, 0xb0, 'g', 0xee, 0xb9, 0x40, 0x4b, 0x4c, 0, 0xe2, 0xfe, 0xb0, 'o', 0xee, 0xeb, 0xfe}, 6'000'000);
  s.monitor.run("stop-on console:'go'", 0);
  EXPECT_EQ(s("vCont;c"), "T05thread:1;");
  const u64 there = s.player.now();
  EXPECT_GT(there, 5'000'000u);
  EXPECT_EQ(s("vCont;c"), "T05thread:1;replaylog:end;");
  EXPECT_EQ(s("bc"), "T05thread:1;");
  EXPECT_EQ(s.player.now() + 1, there);
  EXPECT_EQ(s("bc"), "T05thread:1;replaylog:begin;");
  EXPECT_EQ(s("vCont;c"), "T05thread:1;");
  EXPECT_EQ(s.player.now(), there);
}

// A processor that waits is stepped when it goes on: processor 1 waits for a SIPI that never comes, so its step is the run's end.
TEST(gdb_stub, a_step_of_a_processor_that_waits_ends_with_the_run) {
  Session s(kCount, kEnd, 2);
  s("Hc2");
  EXPECT_EQ(s("s"), "T05thread:1;replaylog:end;");
  EXPECT_EQ(s.player.now(), kEnd);
  s("Hc2");
  EXPECT_EQ(s("bs"), "T05thread:2;replaylog:begin;");
  EXPECT_EQ(s.player.now(), 0u);
}

// What is hit on the way stops, at its exact step, whoever is stepped.
TEST(gdb_stub, a_breakpoint_of_another_processor_stops_the_step_of_one_that_waits) {
  Session s(kCount, kEnd, 2);
  s("qSupported:swbreak+;hwbreak+");
  s("Z0,10000b,1"), s("Hc2");
  EXPECT_EQ(s("s"), "T05thread:1;swbreak:;");
  EXPECT_EQ(s.player.now(), 3u);
  s("z0,10000b,1"), s("Z2,102000,4"), s("Hc2");
  EXPECT_EQ(s("s"), "T05thread:1;watch:102000;");
  EXPECT_EQ(s.player.now(), 4u);
}

}  // namespace
}  // namespace vt::cli::gdb
