// SPDX-License-Identifier: GPL-2.0-or-later
/// A guest runs and exits.   SDM 3C "VMX Non-Root Operation", "VM Entries", "VM Exits"
#include "vmx_machine.hpp"

namespace vt::cpu {
namespace {

using M = VmxMachine;
using F = Field;
enum : int { kException = 0, kExternal = 1, kTriple = 2, kInit = 3, kIntrWindow = 7, kNmiWindow = 8, kCpuid = 10, kHlt = 12, kInvlpg = 14, kRdtsc = 16, kVmcallExit = 18,
             kVmread = 23, kCr = 28, kDr = 29, kIo = 30, kRdmsr = 31, kWrmsr = 32, kGdtr = 46, kLdtr = 47, kEptViolation = 48, kEptMisconfig = 49 };
constexpr u32 kFailure = 0x8000'0000;

struct Exit { const char* name; std::vector<u8> code; int reason; u64 length; u64 qualification; u64 info; void (*change)(M&); };

// The instruction stands at kGuest; rax = 0x11, rbx = kData, rcx = 0x277, rdx = 0x80.
void table(std::initializer_list<Exit> cases) {
  for (const Exit& t : cases) {
    M m;
    m.fill();
    m.cpu->r[0] = 0x11, m.cpu->r[3] = M::kData, m.cpu->r[1] = 0x277, m.cpu->r[2] = 0x80;
    if (t.change) t.change(m);
    EXPECT_EQ(m.launch(t.code), t.reason) << t.name;
    EXPECT_EQ(m.get(F::GUEST_RIP), t.reason == kHlt && t.code[0] != 0xf4 ? M::kGuest + t.code.size() : M::kGuest) << t.name;
    if (t.reason == kHlt && t.code[0] != 0xf4) continue;
    EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), t.length) << t.name;
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), t.qualification) << t.name;
    EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_INFO), t.info) << t.name;
    EXPECT_EQ(m.get(F::IDT_VECTORING_INFO) >> 31, 0u) << t.name;
  }
}

void proc(M& m, u32 v) { m.add(F::CPU_BASED_VM_EXEC_CONTROL, v); }
void proc2(M& m, u32 v) { m.add(F::SECONDARY_VM_EXEC_CONTROL, v); }

// SDM 3C "Instructions That Cause VM Exits Unconditionally"
TEST(vmx_run, unconditional_exits) {
  table({
      {"CPUID", {0x0f, 0xa2}, 10, 2, 0, 0, nullptr},
      {"INVD", {0x0f, 0x08}, 13, 2, 0, 0, nullptr},
      {"XSETBV", {0x0f, 0x01, 0xd1}, 55, 3, 0, 0, nullptr},
      {"VMCALL", {0x0f, 0x01, 0xc1}, 18, 3, 0, 0, nullptr},
      {"VMLAUNCH", {0x0f, 0x01, 0xc2}, 20, 3, 0, 0, nullptr},
      {"VMRESUME", {0x0f, 0x01, 0xc3}, 24, 3, 0, 0, nullptr},
      {"VMXOFF", {0x0f, 0x01, 0xc4}, 26, 3, 0, 0, nullptr},
      {"VMPTRLD [rbx+8]", {0x0f, 0xc7, 0x73, 0x08}, 21, 4, 8, 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23, nullptr},
      {"VMCLEAR [rbx]", {0x66, 0x0f, 0xc7, 0x33}, 19, 4, 0, 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23, nullptr},
      {"VMPTRST fs:[rbx+rcx*4-1]", {0x64, 0x0f, 0xc7, 0x7c, 0x8b, 0xff}, 22, 6, ~u64{0}, 2u | 2u << 7 | 4u << 15 | 1u << 18 | 3u << 23, nullptr},
      {"VMXON [rip+0x100]", {0xf3, 0x0f, 0xc7, 0x35, 0, 1, 0, 0}, 27, 8, M::kGuest + 8 + 0x100, 2u << 7 | 3u << 15 | 1u << 22 | 1u << 27, nullptr},
      {"VMREAD rax, rcx", {0x0f, 0x78, 0xc8}, 23, 3, 0, 0u << 3 | 1u << 10 | 1u << 28, nullptr},
      {"VMWRITE r9, [rbx]", {0x44, 0x0f, 0x79, 0x0b}, 25, 4, 0, 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23 | 9u << 28, nullptr},
      {"INVEPT rax, [rbx]", {0x66, 0x0f, 0x38, 0x80, 0x03}, 50, 5, 0, 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23, nullptr},
      {"INVVPID rcx, [rbx]", {0x66, 0x0f, 0x38, 0x81, 0x0b}, 53, 5, 0, 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23 | 1u << 28, nullptr},
  });
}

// SDM 3C "Instructions That Cause VM Exits Conditionally"
TEST(vmx_run, conditional_exits) {
  table({
      {"HLT", {0xf4}, 12, 1, 0, 0, nullptr},
      {"RDTSC", {0x0f, 0x31}, 16, 2, 0, 0, [](M& m) { proc(m, proc_ctl::rdtsc); }},
      {"RDTSC, off", {0x0f, 0x31}, 12, 0, 0, 0, nullptr},
      {"RDTSCP", {0x0f, 0x01, 0xf9}, 51, 3, 0, 0, [](M& m) { proc(m, proc_ctl::rdtsc); }},
      {"RDTSCP, off", {0x0f, 0x01, 0xf9}, 12, 0, 0, 0, nullptr},
      {"RDPMC", {0x0f, 0x33}, 15, 2, 0, 0, [](M& m) { proc(m, proc_ctl::rdpmc); }},
      {"PAUSE", {0xf3, 0x90}, 40, 2, 0, 0, [](M& m) { proc(m, proc_ctl::pause); }},
      {"PAUSE, off", {0xf3, 0x90}, 12, 0, 0, 0, nullptr},
      {"WBINVD", {0x0f, 0x09}, 54, 2, 0, 0, [](M& m) { proc2(m, proc2_ctl::wbinvd); }},
      {"INVLPG [rbx+0x20]", {0x0f, 0x01, 0x7b, 0x20}, 14, 4, M::kData + 0x20, 0, [](M& m) { proc(m, proc_ctl::invlpg); }},
      {"INVLPG, off", {0x0f, 0x01, 0x7b, 0x20}, 12, 0, 0, 0, nullptr},
      {"MOV DR7 from RAX", {0x0f, 0x23, 0xf8}, 29, 3, 7, 0, [](M& m) { proc(m, proc_ctl::mov_dr); }},
      {"MOV RCX from DR6", {0x0f, 0x21, 0xf1}, 29, 3, 6 | 0x10 | 1 << 8, 0, [](M& m) { proc(m, proc_ctl::mov_dr); }},
      {"LGDT [rbx]", {0x0f, 0x01, 0x13}, 46, 3, 0, 2u << 7 | 1u << 11 | 3u << 15 | 1u << 22 | 3u << 23 | 2u << 28, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {"SIDT [rbx]", {0x0f, 0x01, 0x0b}, 46, 3, 0, 2u << 7 | 1u << 11 | 3u << 15 | 1u << 22 | 3u << 23 | 1u << 28, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {"LTR ax", {0x0f, 0x00, 0xd8}, 47, 3, 0, 1u << 10 | 3u << 28, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
      {"SLDT ecx", {0x0f, 0x00, 0xc1}, 47, 3, 0, 1u << 3 | 1u << 10, [](M& m) { proc2(m, proc2_ctl::descriptor_table); }},
  });
}

// SDM 3C "Exit Qualification for Control-Register Accesses", "Guest/Host Masks and Read Shadows for CR0 and CR4"
TEST(vmx_run, control_registers) {
  table({
      {"MOV CR3, all exit", {0x0f, 0x22, 0xd8}, kCr, 3, 3 | 0 << 8, 0, [](M& m) { proc(m, proc_ctl::cr3_load); }},
      {"MOV CR3, a target value", {0x0f, 0x22, 0xdb}, kHlt, 0, 0, 0, [](M& m) { proc(m, proc_ctl::cr3_load); m.set(F::CR3_TARGET_COUNT, 2); m.set(F::CR3_TARGET_VALUE1, TestMachine::kPml4); m.cpu->r[3] = TestMachine::kPml4; }},
      {"MOV RDX from CR3", {0x0f, 0x20, 0xda}, kCr, 3, 3 | 1 << 4 | 2 << 8, 0, [](M& m) { proc(m, proc_ctl::cr3_store); }},
      {"MOV CR8", {0x44, 0x0f, 0x22, 0xc1}, kCr, 4, 8 | 1 << 8, 0, [](M& m) { proc(m, proc_ctl::cr8_load); }},
      {"MOV from CR8", {0x44, 0x0f, 0x20, 0xc1}, kCr, 4, 8 | 1 << 4 | 1 << 8, 0, [](M& m) { proc(m, proc_ctl::cr8_store); }},
      {"MOV CR0, masked bit differs", {0x0f, 0x22, 0xc0}, kCr, 3, 0, 0, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::PG); m.set(F::CR0_READ_SHADOW, cr0::PG); }},
      {"MOV CR4, masked bit differs", {0x0f, 0x22, 0xe0}, kCr, 3, 4, 0, [](M& m) { m.set(F::CR4_GUEST_HOST_MASK, cr4::VMXE); m.set(F::CR4_READ_SHADOW, cr4::VMXE); }},
      {"CLTS, host owns TS and shows it", {0x0f, 0x06}, kCr, 2, 2 << 4, 0, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::TS); m.set(F::CR0_READ_SHADOW, cr0::TS); }},
      {"CLTS, shown clear", {0x0f, 0x06}, kHlt, 0, 0, 0, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::TS); }},
      {"LMSW dx", {0x0f, 0x01, 0xf2}, kCr, 3, 3 << 4 | 0x80 << 16, 0, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::EM); m.set(F::CR0_READ_SHADOW, cr0::EM); }},
      {"LMSW cannot clear PE", {0x0f, 0x01, 0xf2}, kHlt, 0, 0, 0, [](M& m) { m.set(F::CR0_GUEST_HOST_MASK, cr0::PE); m.set(F::CR0_READ_SHADOW, cr0::PE); }},
  });
}

TEST(vmx_run, shadows_are_read_and_masked_bits_stay) {
  M m;
  m.fill();
  m.set(F::CR4_GUEST_HOST_MASK, cr4::VMXE), m.set(F::CR4_READ_SHADOW, 0);
  // mov rax, cr4; or al, 0x10 (PSE); mov cr4, rax
  EXPECT_EQ(m.launch({0x0f, 0x20, 0xe0, 0x0c, 0x10, 0x0f, 0x22, 0xe0}), kHlt);
  EXPECT_FALSE(m.cpu->r[0] & cr4::VMXE);
  EXPECT_TRUE(m.get(F::GUEST_CR4) & cr4::VMXE);
  EXPECT_TRUE(m.get(F::GUEST_CR4) & cr4::PSE);
  EXPECT_FALSE(m.cpu->cr4 & cr4::PSE);  // the host's came back
}

TEST(vmx_run, bits_that_vmx_fixes_are_gp_for_the_guest) {
  M m;
  m.fill();
  m.set(F::EXCEPTION_BITMAP, 1u << GP);
  EXPECT_EQ(m.launch({0x31, 0xc0, 0x0f, 0x22, 0xe0}), kException);  // xor eax, eax; mov cr4, rax
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0b0du);
}

// SDM 3C "Exit Qualification for I/O Instructions", "I/O-Bitmap Addresses"
TEST(vmx_run, io) {
  table({
      {"OUT 0x80, al", {0xe6, 0x80}, kIo, 2, 0x80 << 16 | 0x40, 0, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 1); }},
      {"IN eax, dx", {0xed}, kIo, 1, 0x80 << 16 | 8 | 3, 0, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 8); }},  // port 0x83 only
      {"OUT dx, ax, bit of another port", {0x66, 0xef}, kHlt, 0, 0, 0, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 4); }},
      {"unconditional is ignored with bitmaps", {0xee}, kHlt, 0, 0, 0, [](M& m) { proc(m, proc_ctl::unconditional_io); }},
      {"unconditional", {0xee}, kIo, 1, 0x80 << 16, 0, [](M& m) { proc(m, proc_ctl::unconditional_io); m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::io_bitmaps); }},
      {"neither", {0xee}, kHlt, 0, 0, 0, [](M& m) { m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::io_bitmaps); }},
      {"REP OUTSB", {0xf3, 0x6e}, kIo, 2, 0x80 << 16 | 0x30, 2u << 7 | 3u << 15, [](M& m) { m.poke<u8>(M::kIoA + 0x10, 1); }},
  });
}

TEST(vmx_run, string_io_says_the_linear_address) {
  M m;
  m.fill();
  m.poke<u8>(M::kIoA + 0x10, 1);
  m.cpu->r[2] = 0x80, m.cpu->r[7] = M::kData + 5;
  EXPECT_EQ(m.launch({0x6c}), kIo);  // insb
  EXPECT_EQ(m.get(F::GUEST_LINEAR_ADDRESS), M::kData + 5);
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0x80u << 16 | 0x18);
}

TEST(vmx_run, io_that_wraps_around_exits) {
  M m;
  m.fill();
  m.cpu->r[2] = 0xffff;
  EXPECT_EQ(m.launch({0x66, 0xef}), kIo);
}

// SDM 3C "MSR-Bitmap Address"
TEST(vmx_run, msr_bitmap) {
  table({
      {"RDMSR low, clear", {0x0f, 0x32}, kHlt, 0, 0, 0, nullptr},
      {"RDMSR low", {0x0f, 0x32}, kRdmsr, 2, 0, 0, [](M& m) { m.poke<u8>(M::kMsrBitmap + 0x277 / 8, 0x80); }},
      {"WRMSR low", {0x0f, 0x30}, kWrmsr, 2, 0, 0, [](M& m) { m.poke<u8>(M::kMsrBitmap + 0x800 + 0x277 / 8, 0x80); }},
      {"no bitmap", {0x0f, 0x32}, kRdmsr, 2, 0, 0, [](M& m) { m.drop(F::CPU_BASED_VM_EXEC_CONTROL, proc_ctl::msr_bitmaps); }},
  });
  struct { u32 msr; u64 at; u8 bit; bool write; int want; } cases[] = {
      {0xc0000081, 0x400 + 0x10, 2, false, kRdmsr}, {0xc0000081, 0xc00 + 0x10, 2, true, kWrmsr}, {0xc0000081, 0x800 + 0x10, 2, true, kHlt},
      {0x40000000, 0, 0, false, kRdmsr},            {0xc0002000, 0, 0, false, kRdmsr},           {0x2000, 0, 0, true, kWrmsr},
  };
  for (auto& t : cases) {
    M m;
    m.fill();
    m.poke<u8>(M::kMsrBitmap + t.at, t.bit);
    m.cpu->r[1] = t.msr, m.cpu->r[0] = m.cpu->r[2] = 0;
    EXPECT_EQ(m.launch({0x0f, static_cast<u8>(t.write ? 0x30 : 0x32)}), t.want) << std::hex << t.msr;
  }
}

// SDM 3C "Exception Bitmap", "Information for VM Exits Due to Vectored Events"
TEST(vmx_run, exceptions) {
  struct { const char* name; std::vector<u8> code; u32 bitmap, mask, match; int reason; u32 info, error, length; u64 qualification; } cases[] = {
      {"#UD", {0x0f, 0x0b}, 1u << UD, 0, 0, kException, 0x8000'0306, 0, 0, 0},
      {"#GP with code", {0x0f, 0x22, 0xc1}, 1u << GP, 0, 0, kException, 0x8000'0b0d, 0, 0, 0},  // mov cr0, rcx (0)
      {"INT3", {0xcc}, 1u << BP, 0, 0, kException, 0x8000'0603, 0, 1, 0},
      {"INT1", {0xf1}, 1u << DB, 0, 0, kException, 0x8000'0501, 0, 1, 0},
      {"INT 3 is no INT3", {0xcd, 0x03}, 1u << BP, 0, 0, kHlt, 0, 0, 0, 0},
      {"#PF, write to 1 TiB", {0x89, 0x03}, 1u << PF, 0, 0, kException, 0x8000'0b0e, 2, 0, u64{1} << 40},
      {"#PF, mask and match say no", {0x89, 0x03}, 1u << PF, 1, 1, kHlt, 0, 0, 0, 0},
      {"#PF, not in the bitmap but not matching", {0x89, 0x03}, 0, 1, 1, kException, 0x8000'0b0e, 2, 0, u64{1} << 40},
  };
  for (auto& t : cases) {
    M m;
    m.fill();
    m.set(F::EXCEPTION_BITMAP, t.bitmap), m.set(F::PAGE_FAULT_ERROR_CODE_MASK, t.mask), m.set(F::PAGE_FAULT_ERROR_CODE_MATCH, t.match);
    m.cpu->r[3] = u64{1} << 40, m.cpu->r[1] = 0, m.cpu->cr2 = 0x77;
    EXPECT_EQ(m.launch(t.code), t.reason) << t.name;
    if (t.reason == kHlt) continue;
    EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), t.info) << t.name;
    EXPECT_EQ(m.get(F::VM_EXIT_INTR_ERROR_CODE), t.error) << t.name;
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), t.qualification) << t.name;
    if (t.length) { EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), t.length) << t.name; }
    EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest) << t.name;
    EXPECT_EQ(m.cpu->cr2, 0x77u) << t.name;
    // Faults are saved with RF set, as their image on a stack would have it.
    const bool fault = (t.info >> 8 & 7) == 3;
    EXPECT_EQ(static_cast<bool>(m.get(F::GUEST_RFLAGS) & rflags::RF), fault) << t.name;
  }
}

TEST(vmx_run, a_fault_during_delivery_leaves_idt_vectoring_information) {
  M m;
  m.fill();
  m.set(F::GUEST_IDTR_LIMIT, 16 * UD - 1);  // no gate for #UD
  m.set(F::EXCEPTION_BITMAP, 1u << GP);
  EXPECT_EQ(m.launch({0x0f, 0x0b}), kException);
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0b0du);
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_ERROR_CODE), UD * 8u + 3);
  EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), 0x8000'0306u);
}

// SDM 3C "Information for VM Exits During Event Delivery": INT3 makes a software exception, INT n, whatever its vector, a software interrupt
TEST(vmx_run, a_fault_during_delivery_tells_what_kind_of_instruction_it_was) {
  struct { std::vector<u8> code; u32 vectoring, length; } rows[] = {
      {{0xcc}, 0x8000'0603, 1}, {{0xf1}, 0x8000'0501, 1}, {{0xcd, 0x80}, 0x8000'0480, 2}, {{0xcd, 0x21}, 0x8000'0421, 2}, {{0xcd, 0x03}, 0x8000'0403, 2}, {{0xcd, 0x04}, 0x8000'0404, 2},
      {{0xcd, 0x01}, 0x8000'0401, 2}, {{0xcd, 0x02}, 0x8000'0402, 2}, {{0x0f, 0x0b}, 0x8000'0306, 0},
  };
  for (auto& r : rows) {
    M m;
    m.fill();
    m.set(F::GUEST_IDTR_LIMIT, 0);
    m.set(F::EXCEPTION_BITMAP, 1u << GP);
    EXPECT_EQ(m.launch(r.code), kException);
    EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0b0du);
    EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), r.vectoring) << std::hex << r.vectoring;
    if (r.length) { EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), r.length) << std::hex << r.vectoring; }
  }
}

TEST(vmx_run, double_and_triple_faults) {
  M m;
  m.fill();
  m.set(F::GUEST_IDTR_LIMIT, 0);
  m.set(F::EXCEPTION_BITMAP, 1u << DF);
  EXPECT_EQ(m.launch({0x0f, 0x22, 0xc0}), kException);  // mov cr0, rax (0): #GP, then #GP in its delivery
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0b08u);
  EXPECT_EQ(m.get(F::IDT_VECTORING_INFO) >> 31, 0u);
  M t;
  t.fill();
  t.set(F::GUEST_IDTR_LIMIT, 0);
  EXPECT_EQ(t.launch({0x0f, 0x22, 0xc0}), kTriple);
  EXPECT_FALSE(t.stop_.requested());
}

// SDM 3C "Event Injection"
TEST(vmx_run, injected_events_arrive) {
  struct { u32 info, error, length; u64 pushed_rip; bool code; } cases[] = {
      {0x8000'0040, 0, 0, M::kGuest, false},
      {0x8000'0306, 0, 0, M::kGuest, false},
      {0x8000'0b0d, 0x1234, 0, M::kGuest, true},
      {0x8000'0202, 0, 0, M::kGuest, false},
      {0x8000'0480, 0, 2, M::kGuest + 2, false},
      {0x8000'0603, 0, 1, M::kGuest + 1, false},
      {0x8000'0501, 0, 1, M::kGuest + 1, false},
  };
  for (auto& t : cases) {
    M m;
    m.fill();
    m.add(F::GUEST_RFLAGS, rflags::IF);
    m.set(F::VM_ENTRY_INTR_INFO, t.info), m.set(F::VM_ENTRY_EXCEPTION_ERROR_CODE, t.error), m.set(F::VM_ENTRY_INSTRUCTION_LENGTH, t.length);
    EXPECT_EQ(m.launch({}), kHlt) << std::hex << t.info;
    EXPECT_EQ(m.get(F::GUEST_RIP), TestMachine::kHandlers + 16 * (t.info & 0xff)) << std::hex << t.info;  // the handler's HLT
    const u64 sp = m.get(F::GUEST_RSP);
    EXPECT_EQ(m.peek<u64>(sp + (t.code ? 8 : 0)), t.pushed_rip) << std::hex << t.info;
    if (t.code) { EXPECT_EQ(m.peek<u64>(sp), t.error); }
    EXPECT_FALSE(m.get(F::GUEST_RFLAGS) & rflags::IF);
    EXPECT_EQ(m.get(F::VM_ENTRY_INTR_INFO) >> 31, 0u);  // cleared by the exit
    EXPECT_EQ(m.get(F::GUEST_INTERRUPTIBILITY_STATE), t.info == 0x8000'0202 ? 8u : 0u);
    EXPECT_EQ(m.get(F::IDT_VECTORING_INFO) >> 31, 0u);
  }
}

TEST(vmx_run, an_injection_that_faults_is_reported_as_vectoring) {
  M m;
  m.fill();
  m.set(F::GUEST_RFLAGS, 2 | rflags::IF);
  m.set(F::VM_ENTRY_INTR_INFO, 0x8000'0480), m.set(F::VM_ENTRY_INSTRUCTION_LENGTH, 2);
  m.set(F::GUEST_RSP, u64{1} << 40);  // no stack there
  m.set(F::EXCEPTION_BITMAP, 1u << PF);
  EXPECT_EQ(m.launch({}), kException);
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0b0eu);
  EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), 0x8000'0480u);
  EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), 2u);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
  EXPECT_EQ(m.get(F::GUEST_RSP), u64{1} << 40);
}

TEST(vmx_run, injection_wakes_a_halted_guest_and_hlt_without_it_waits) {
  M m;
  m.fill();
  m.set(F::GUEST_ACTIVITY_STATE, 1);
  m.set(F::GUEST_RFLAGS, 2 | rflags::IF);
  m.set(F::VM_ENTRY_INTR_INFO, 0x8000'0040);
  EXPECT_EQ(m.launch({}), kHlt);
  EXPECT_EQ(m.get(F::GUEST_RIP), TestMachine::kHandlers + 16 * 0x40);
  M n;
  n.fill();
  n.set(F::GUEST_ACTIVITY_STATE, 1);
  EXPECT_EQ(n.launch({}), -4);  // still in the guest
  EXPECT_TRUE(n.cpu->idle());
}

// SDM 3C "Exit Qualification for EPT Violations"
TEST(vmx_run, ept_violations) {
  struct { const char* name; std::vector<u8> code; u64 entry; u64 qualification; } cases[] = {
      {"read of nothing", {0x8b, 0x03}, 0, 0x181},
      {"write of read-only", {0x89, 0x03}, M::kData | 1 | 0x30, 0x18a},
      {"write of read-execute", {0x89, 0x03}, M::kData | 5 | 0x30, 0x1aa},
      {"read of execute-only", {0x8b, 0x03}, M::kData | 4 | 0x30, 0x1a1},
      {"fetch of no-execute", {0xff, 0xe3}, M::kData | 3 | 0x30, 0x19c},
  };
  for (auto& t : cases) {
    M m;
    m.fill();
    m.identity_ept();
    m.poke<u64>(m.ept_entry(M::kData), t.entry);
    m.cpu->r[3] = M::kData + 0x18;
    EXPECT_EQ(m.launch(t.code), kEptViolation) << t.name;
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), t.qualification) << t.name;
    EXPECT_EQ(m.get(F::GUEST_PHYSICAL_ADDRESS), M::kData + 0x18) << t.name;
    EXPECT_EQ(m.get(F::GUEST_LINEAR_ADDRESS), M::kData + 0x18) << t.name;
    EXPECT_TRUE(m.get(F::GUEST_RFLAGS) & rflags::RF) << t.name;
  }
}

TEST(vmx_run, guest_page_walks_go_through_ept) {
  M m;
  m.fill();
  m.identity_ept();
  m.poke<u64>(m.ept_entry(TestMachine::kPml4 + 0x1000), 0);  // the guest's PDPT
  EXPECT_EQ(m.launch({}), kEptViolation);
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0x81u);  // a read, of the linear address's translation
  EXPECT_EQ(m.get(F::GUEST_PHYSICAL_ADDRESS), TestMachine::kPml4 + 0x1000);
}

// SDM 3C "EPT Misconfigurations"
TEST(vmx_run, ept_misconfiguration) {
  M m;
  m.fill();
  m.identity_ept();
  m.poke<u64>(m.ept_entry(M::kData), M::kData | 0x3f);
  m.cpu->r[3] = M::kData + 4;
  EXPECT_EQ(m.launch({0x8b, 0x03}), kEptMisconfig);
  EXPECT_EQ(m.get(F::GUEST_PHYSICAL_ADDRESS), M::kData + 4);
  // Repaired, it runs on: nothing of a misconfiguration is cached.
  m.poke<u64>(m.ept_entry(M::kData), M::kData | 0x37);
  EXPECT_EQ(m.again(), kHlt);
}

TEST(vmx_run, a_stack_that_ept_refuses_during_delivery) {
  M m;
  m.fill();
  m.identity_ept();
  m.poke<u64>(m.ept_entry(M::kGuestStack - 8), 0);
  EXPECT_EQ(m.launch({0xcd, 0x80}), kEptViolation);
  EXPECT_EQ(m.get(F::IDT_VECTORING_INFO), 0x8000'0480u);
  EXPECT_EQ(m.get(F::VM_EXIT_INSTRUCTION_LENGTH), 2u);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
}

// SDM 3C "Unrestricted Guests"
TEST(vmx_run, real_address_mode) {
  M m;
  m.fill();
  m.real_guest();
  EXPECT_EQ(m.launch({0xb8, 0x34, 0x12, 0x8e, 0xd8}), kHlt);  // mov ax, 0x1234; mov ds, ax
  EXPECT_EQ(m.get(F::GUEST_DS_SELECTOR), 0x1234u);
  EXPECT_EQ(m.get(F::GUEST_DS_BASE), 0x12340u);
  EXPECT_EQ(m.get(F::GUEST_RIP), 5u);
  EXPECT_EQ(m.get(F::GUEST_CR0), 0x30u);
  EXPECT_EQ(m.get(F::GUEST_IA32_EFER), 0u);
  EXPECT_TRUE(m.cpu->long_mode());
  // Interrupts through the real-mode table.
  m.poke<u32>(4 * 0x21, (TestMachine::kHandlers >> 4) << 16 | 0x210);
  m.set(F::GUEST_RFLAGS, 2 | rflags::IF), m.set(F::VM_ENTRY_INTR_INFO, 0x8000'0021);
  EXPECT_EQ(m.again(), kHlt);
  EXPECT_EQ(m.get(F::GUEST_CS_SELECTOR), TestMachine::kHandlers >> 4);
  EXPECT_EQ(m.get(F::GUEST_RIP), 0x210u);
  EXPECT_EQ(m.peek<u16>(0xeffa), 5u);  // the image: IP, CS, FLAGS
}

TEST(vmx_run, cr0_pe_and_pg_are_free_for_an_unrestricted_guest) {
  M m;
  m.fill();
  m.real_guest();
  // mov eax, cr0; or al, 1; mov cr0, eax; mov eax, cr0
  EXPECT_EQ(m.launch({0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0}), kHlt);
  EXPECT_EQ(m.get(F::GUEST_CR0), 0x31u);
}

// SDM 3C "Other Causes of VM Exits"
TEST(vmx_run, interrupt_window) {
  M m;
  m.fill();
  proc(m, proc_ctl::interrupt_window);
  EXPECT_EQ(m.launch({0x90, 0xfb, 0x90, 0x90}), kIntrWindow);  // nop; sti; nop; nop
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest + 3);               // after the instruction that STI shadows
  M n;
  n.fill();
  proc(n, proc_ctl::interrupt_window);
  EXPECT_EQ(n.launch({0x90}), kHlt);  // IF stays 0
}

TEST(vmx_run, external_interrupts_exit_whatever_if_says) {
  for (bool acknowledge : {false, true}) {
    M m;
    m.fill();
    m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::external_interrupt);
    if (acknowledge) m.add(F::VM_EXIT_CONTROLS, exit_ctl::ack_interrupt);
    m.cpu->apic.write(0xf0, 0x1ff);
    m.cpu->apic.accept({.vector = 0x55});
    EXPECT_EQ(m.launch({0x90}), kExternal);
    EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
    EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), acknowledge ? 0x8000'0055u : 0u);
    EXPECT_EQ(m.cpu->apic.pending() >= 0, !acknowledge);
    EXPECT_FALSE(m.cpu->flags & rflags::IF);
  }
}

TEST(vmx_run, external_interrupts_of_a_guest_that_takes_them) {
  M m;
  m.fill();
  m.set(F::GUEST_RFLAGS, 2 | rflags::IF);
  m.cpu->apic.write(0xf0, 0x1ff);
  m.cpu->apic.accept({.vector = 0x55});
  EXPECT_EQ(m.launch({0x90}), kHlt);
  EXPECT_EQ(m.get(F::GUEST_RIP), TestMachine::kHandlers + 16 * 0x55);
}

TEST(vmx_run, nmis) {
  M m;
  m.fill();
  m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi);
  m.cpu->nmi_pending = true, m.cpu->nmi_blocked = true;  // the host's own NMI handler enters a guest where it is not blocked
  EXPECT_EQ(m.launch({}), kException);
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0202u);
  EXPECT_TRUE(m.cpu->nmi_blocked);
  EXPECT_FALSE(m.cpu->nmi_pending);
}

// SDM 3C "Virtual NMIs": injection blocks, IRET unblocks, and the window opens.
TEST(vmx_run, virtual_nmis_and_their_window) {
  M m;
  m.fill();
  m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::nmi | pin_ctl::virtual_nmis);
  m.set(F::VM_ENTRY_INTR_INFO, 0x8000'0202);
  proc(m, proc_ctl::nmi_window);
  m.poke<u16>(TestMachine::kHandlers + 16 * NMI, 0xcf48);  // iretq
  EXPECT_EQ(m.launch({}), kNmiWindow);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest);
  EXPECT_EQ(m.get(F::GUEST_INTERRUPTIBILITY_STATE), 0u);
}

TEST(vmx_run, init_exits) {
  M m;
  m.fill();
  m.cpu->init_pending = true;
  m.cpu->want_attention();
  EXPECT_EQ(m.launch({}), kInit);
  EXPECT_FALSE(m.cpu->init_pending);
}

TEST(vmx_run, sti_blocking_is_saved_by_an_instruction_that_exits) {
  M m;
  m.fill();
  EXPECT_EQ(m.launch({0xfb, 0xf4}), kHlt);  // sti; hlt
  EXPECT_EQ(m.get(F::GUEST_INTERRUPTIBILITY_STATE), 1u);
  EXPECT_FALSE(m.cpu->sti_shadow);
}

// SDM 3C "Loading Host State"
TEST(vmx_run, the_host_comes_back_as_the_manual_fixes_it) {
  M m;
  m.fill();
  m.set(F::HOST_FS_BASE, 0x1000), m.set(F::HOST_GS_BASE, 0xffff'8000'0000'0000), m.set(F::HOST_DS_SELECTOR, 0);
  m.set(F::HOST_IA32_SYSENTER_CS, 8), m.set(F::HOST_IA32_SYSENTER_EIP, 0x123456);
  m.set(F::GUEST_DR7, 0x155), m.set(F::GUEST_CR4, m.cpu->cr4 & ~cr4::PGE);
  m.cpu->dr[7] = 0x455;
  EXPECT_EQ(m.launch({0xf9}), kHlt);  // stc
  const Cpu& c = *m.cpu;
  EXPECT_EQ(c.rflags(), 2u);
  EXPECT_EQ(c.dr[7], 0x400u);
  EXPECT_EQ(c.seg[CS].ar, 0xa09bu);
  EXPECT_EQ(c.seg[SS].ar, 0xc093u);
  EXPECT_TRUE(c.seg[DS].unusable());
  EXPECT_EQ(c.seg[FS].base, 0x1000u);
  EXPECT_EQ(c.seg[GS].base, 0xffff'8000'0000'0000u);
  EXPECT_TRUE(c.ldtr.unusable());
  EXPECT_EQ(c.tr.limit, 0x67u);
  EXPECT_EQ(c.gdtr.limit, 0xffffu);
  EXPECT_EQ(c.msr.sysenter_eip, 0x123456u);
  EXPECT_TRUE(c.cr4 & cr4::PGE);
  EXPECT_EQ(m.get(F::GUEST_DR7), 0x555u);  // bit 10 always, bit 12 never
  EXPECT_EQ(m.get(F::GUEST_RFLAGS) & 1, 1u);
  EXPECT_EQ(launch_state(m.mem, M::kVmcs), vmcs_page::kLaunched);
}

TEST(vmx_run, pat_and_efer_travel) {
  M m;
  m.fill();
  m.set(F::GUEST_IA32_PAT, 0x0606060606060606), m.set(F::GUEST_IA32_EFER, efer::LMA | efer::LME);
  const u64 host_efer = m.cpu->efer, host_pat = m.cpu->msr.pat;
  m.cpu->r[1] = 0x277;
  EXPECT_EQ(m.launch({0x0f, 0x32}), kHlt);
  EXPECT_EQ(m.cpu->r[0], 0x06060606u);
  EXPECT_EQ(m.cpu->efer, host_efer);
  EXPECT_EQ(m.cpu->msr.pat, host_pat);
  EXPECT_EQ(m.get(F::GUEST_IA32_EFER), efer::LMA | efer::LME);
  EXPECT_EQ(m.get(F::GUEST_IA32_PAT), 0x0606060606060606u);
}

// SDM 3C "VM-Entry Failures During or After Loading Guest State"
TEST(vmx_run, entry_failures) {
  M m;
  m.fill();
  m.set(F::GUEST_RFLAGS, 0);
  EXPECT_EQ(m.launch({}), static_cast<int>(33 | kFailure));
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0u);
  EXPECT_EQ(launch_state(m.mem, M::kVmcs), vmcs_page::kClear);
  EXPECT_EQ(m.get(F::GUEST_RFLAGS), 0u);  // nothing is saved
  m.set(F::GUEST_RFLAGS, 2), m.set(F::VMCS_LINK_POINTER, 0);
  EXPECT_EQ(m.launch({}), static_cast<int>(33 | kFailure));
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 4u);
}

// SDM 3C "Loading MSRs", "Saving MSRs"
TEST(vmx_run, msr_areas) {
  M m;
  m.fill();
  m.poke<u64>(M::kList, 0xc0000082), m.poke<u64>(M::kList + 8, 0x1111);         // entry load: LSTAR
  m.poke<u64>(M::kList + 0x100, 0xc0000082);                                     // exit store
  m.poke<u64>(M::kList + 0x200, 0xc0000082), m.poke<u64>(M::kList + 0x208, 0x2222);  // exit load
  m.set(F::VM_ENTRY_MSR_LOAD_COUNT, 1), m.set(F::VM_ENTRY_MSR_LOAD_ADDR, M::kList);
  m.set(F::VM_EXIT_MSR_STORE_COUNT, 1), m.set(F::VM_EXIT_MSR_STORE_ADDR, M::kList + 0x100);
  m.set(F::VM_EXIT_MSR_LOAD_COUNT, 1), m.set(F::VM_EXIT_MSR_LOAD_ADDR, M::kList + 0x200);
  EXPECT_EQ(m.launch({}), kHlt);
  EXPECT_EQ(m.peek<u64>(M::kList + 0x108), 0x1111u);
  EXPECT_EQ(m.cpu->msr.lstar, 0x2222u);
}

TEST(vmx_run, msr_areas_refuse) {
  for (u64 index : {u64{0xc0000100}, u64{0xc0000101}, u64{0x802}, u64{1} << 32, u64{0x79}}) {
    M m;
    m.fill();
    m.poke<u64>(M::kList, 0xc0000082), m.poke<u64>(M::kList + 0x10, index);
    m.set(F::VM_ENTRY_MSR_LOAD_COUNT, 2), m.set(F::VM_ENTRY_MSR_LOAD_ADDR, M::kList);
    EXPECT_EQ(m.launch({}), static_cast<int>(34 | kFailure)) << std::hex << index;
    EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 2u) << std::hex << index;
  }
}

// SDM 3C "VMX Aborts"
TEST(vmx_run, a_host_msr_that_cannot_be_loaded_is_an_abort) {
  M m;
  m.fill();
  m.poke<u64>(M::kList, 0xc0000100);
  m.set(F::VM_EXIT_MSR_LOAD_COUNT, 1), m.set(F::VM_EXIT_MSR_LOAD_ADDR, M::kList);
  m.launch({});
  EXPECT_EQ(m.stop_.reason(), StopReason::triple_fault);
  EXPECT_EQ(m.stop_.what(), "VMX abort 4: an MSR of the VM-exit MSR-load area cannot be loaded");
  EXPECT_EQ(m.peek<u32>(M::kVmcs + vmcs_page::abort_indicator), 4u);
}

TEST(vmx_run, tsc_offset) {
  M m;
  m.fill();
  proc(m, proc_ctl::tsc_offsetting);
  m.set(F::TSC_OFFSET, u64{1} << 32);
  EXPECT_EQ(m.launch({0x0f, 0x31}), kHlt);
  EXPECT_EQ(m.cpu->r[2], 1u);
}

TEST(vmx_run, instructions_that_are_not_enabled_are_undefined) {
  M m;
  m.fill();
  m.set(F::SECONDARY_VM_EXEC_CONTROL, 0);
  m.set(F::EXCEPTION_BITMAP, 1u << UD);
  EXPECT_EQ(m.launch({0x0f, 0x01, 0xf9}), kException);  // rdtscp
  EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0306u);
}

TEST(vmx_run, resume_goes_on_where_the_exit_was) {
  M m;
  m.fill();
  EXPECT_EQ(m.launch({0x0f, 0xa2, 0xff, 0xc3}), kCpuid);  // cpuid; inc ebx
  m.cpu->r[3] = 41;
  m.set(F::GUEST_RIP, m.get(F::GUEST_RIP) + m.get(F::VM_EXIT_INSTRUCTION_LENGTH));
  EXPECT_EQ(m.again(), kHlt);
  EXPECT_EQ(m.cpu->r[3], 42u);
  EXPECT_EQ(m.cpu->stats.exits[kCpuid], 1u);
  EXPECT_EQ(m.cpu->stats.exits[kHlt], 1u);
}

// SDM 3C "Wait-for-SIPI"
TEST(vmx_run, a_guest_that_waits_for_sipi_takes_nothing_else) {
  M m;
  m.fill();
  m.add(F::PIN_BASED_VM_EXEC_CONTROL, pin_ctl::external_interrupt | pin_ctl::nmi);
  m.set(F::GUEST_ACTIVITY_STATE, 3);
  m.cpu->nmi_pending = m.cpu->nmi_blocked = true;
  EXPECT_EQ(m.launch({}), -4);
  m.cpu->sipi_pending = true, m.cpu->sipi_vector = 0x9a;
  m.cpu->want_attention();
  m.cpu->run(10);
  EXPECT_FALSE(m.cpu->non_root());
  EXPECT_EQ(m.get(F::VM_EXIT_REASON), 4u);
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0x9au);
  EXPECT_EQ(m.get(F::GUEST_ACTIVITY_STATE), 3u);
}

TEST(vmx_run, a_sipi_that_finds_the_guest_running_is_lost) {
  M m;
  m.fill();
  m.cpu->sipi_pending = true;
  EXPECT_EQ(m.launch({}), kHlt);
  EXPECT_FALSE(m.cpu->sipi_pending);
}

// SDM 3C "Delivery of Pending Debug Exceptions after VM Entry"
TEST(vmx_run, pending_debug_exceptions) {
  struct { u64 pending; u32 inject, blocking; int reason; u64 qualification; } cases[] = {
      {0x4000, 0, 0, kException, 0x4000},
      {0x1002, 0, 0, kException, 0x2},
      {0x0002, 0, 0, kHlt, 0},                    // no enabled breakpoint: nothing is pending
      {0x4000, 0x8000'0040, 0, kHlt, 0},          // an injected interrupt drops them
      {0x1001, 0, 2, kHlt, 0},                    // blocking by MOV SS lasts one instruction, and HLT exits first
  };
  for (auto& t : cases) {
    M m;
    m.fill();
    m.set(F::EXCEPTION_BITMAP, 1u << DB);
    m.set(F::GUEST_RFLAGS, 2 | (t.inject ? rflags::IF : 0));
    m.set(F::GUEST_PENDING_DBG_EXCEPTIONS, t.pending), m.set(F::VM_ENTRY_INTR_INFO, t.inject), m.set(F::GUEST_INTERRUPTIBILITY_STATE, t.blocking);
    EXPECT_EQ(m.launch({}), t.reason) << std::hex << t.pending;
    if (t.reason == kException) {
      EXPECT_EQ(m.get(F::VM_EXIT_INTR_INFO), 0x8000'0301u);
      EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), t.qualification);
      EXPECT_EQ(m.get(F::GUEST_PENDING_DBG_EXCEPTIONS), 0u);
    }
    if (t.blocking) { EXPECT_EQ(m.get(F::GUEST_PENDING_DBG_EXCEPTIONS), t.pending); }
  }
}

TEST(vmx_run, single_stepping_of_a_guest) {
  M m;
  m.fill();
  m.set(F::EXCEPTION_BITMAP, 1u << DB);
  m.set(F::GUEST_RFLAGS, 2 | rflags::TF);
  EXPECT_EQ(m.launch({0x90, 0x90}), kException);
  EXPECT_EQ(m.get(F::GUEST_RIP), M::kGuest + 1);
  EXPECT_EQ(m.get(F::EXIT_QUALIFICATION), 0x4000u);
  EXPECT_FALSE(m.cpu->dr[6] & 0x4000);  // DR6 is the hypervisor's to change
}

// SDM 3C "Accessed and Dirty Flags for EPT"
TEST(vmx_run, ept_accessed_and_dirty) {
  for (bool ad : {false, true}) {
    M m;
    m.fill();
    m.identity_ept();
    if (ad) m.add(F::EPT_POINTER, 0x40);
    m.cpu->r[3] = M::kData;
    EXPECT_EQ(m.launch({0x8b, 0x03}), kHlt);
    EXPECT_EQ(m.peek<u64>(m.ept_entry(M::kData)) & 0x300, ad ? 0x100u : 0u);
    m.set(F::GUEST_RIP, M::kGuest);
    m.poke<u8>(M::kGuest, 0x89);
    EXPECT_EQ(m.again(), kHlt);
    EXPECT_EQ(m.peek<u64>(m.ept_entry(M::kData)) & 0x300, ad ? 0x300u : 0u);
    EXPECT_EQ(m.peek<u64>(M::kEptPml4) & 0x300, ad ? 0x100u : 0u);
  }
}

// SDM 3A "PAE Paging": PDPTEs are registers, which VM entries load and VM exits save.
TEST(vmx_run, pdptes_of_a_pae_guest) {
  M m;
  m.fill();
  m.identity_ept();
  m.set(F::VM_ENTRY_CONTROLS, 0x11ff | entry_ctl::load_efer);
  m.set(F::GUEST_IA32_EFER, 0), m.set(F::GUEST_CR3, 0x7000);
  m.segment(CS, {0, 0xffff'ffff, 0xc09b, 0x18});
  m.poke<u64>(0x7000, 0x7777);  // memory is not looked at
  m.set(F::GUEST_PDPTE0, (TestMachine::kPml4 + 0x2000) | 1);
  m.cpu->r[3] = M::kData;
  m.poke<u32>(M::kData, 0x1357);
  EXPECT_EQ(m.launch({0x8b, 0x03}), kHlt);
  EXPECT_EQ(m.cpu->r[0], 0x1357u);
  EXPECT_EQ(m.get(F::GUEST_PDPTE0), (TestMachine::kPml4 + 0x2000) | 1);
  EXPECT_FALSE(m.get(F::VM_ENTRY_CONTROLS) & entry_ctl::ia32e_guest);
}

// IA32_VMX_MISC bit 5
TEST(vmx_run, ia32e_mode_guest_follows_efer_lma) {
  M m;
  m.fill();
  EXPECT_EQ(m.launch({}), kHlt);
  EXPECT_TRUE(m.get(F::VM_ENTRY_CONTROLS) & entry_ctl::ia32e_guest);
}

/// Any contents of a VMCS end in an exit, a failure, an abort or a guest that runs; never in our own trouble.
TEST(vmx_run, arbitrary_vmcs_contents_are_harmless) {
  u64 x = 88172645463325252;
  auto random = [&x] { x ^= x << 13; x ^= x >> 7; x ^= x << 17; return x; };
  unsigned entered = 0;
  for (unsigned n = 0; n < 1500; ++n) {
    M m;
    m.fill();
    if (n % 3 == 1) m.identity_ept();
    if (n % 3 == 2) m.real_guest();
    for (unsigned k = 0; k <= random() % 3; ++k) {
      const FieldRow& f = kFields[random() % kFieldCount];
      const Field field = static_cast<Field>(f.encoding);
      const u64 old = m.get(field);
      switch (random() % 4) {
        case 0: m.set(field, random()); break;
        case 1: m.set(field, old ^ u64{1} << random() % 64); break;
        case 2: m.set(field, old ^ u64{1} << random() % 16); break;
        default: m.set(field, random() & 0xffff); break;
      }
    }
    m.launch({0x0f, 0xa2, 0x8b, 0x03, 0x50, 0xcd, 0x40});
    entered += m.cpu->stats.exits[kHlt] + m.cpu->stats.exits[kCpuid] != 0;
  }
  EXPECT_GT(entered, 500u);
}

// SDM 3C "Operations that Invalidate Cached Mappings"
TEST(vmx_run, vpid_keeps_translations_over_transitions) {
  for (bool vpid : {false, true}) {
    M m;
    m.fill();
    if (vpid) proc2(m, proc2_ctl::vpid), m.set(F::VIRTUAL_PROCESSOR_ID, 7);
    m.cpu->r[3] = M::kData + 0x20'0000;
    m.poke<u32>(M::kData + 0x20'0000, 0xaaaa), m.poke<u32>(M::kData + 0x40'0000, 0xbbbb);
    EXPECT_EQ(m.launch({0x8b, 0x03}), kHlt);
    m.poke<u64>(TestMachine::kPml4 + 0x2000 + 8, u64{2} << 21 | 0x87);  // the page moves; nobody invalidates
    m.set(F::GUEST_RIP, M::kGuest);
    EXPECT_EQ(m.again(), kHlt);
    EXPECT_EQ(m.cpu->r[0], vpid ? 0xaaaau : 0xbbbbu);
  }
}

TEST(vmx_run, events_are_told) {
  struct Sink : EventSink {
    std::vector<Event> all;
    void on(const Event& e) override { all.push_back(e); }
  } sink;
  M m;
  m.fill();
  m.identity_ept();
  m.sink = &sink;
  EXPECT_EQ(m.launch({}), kHlt);
  ASSERT_EQ(sink.all.size(), 2u);
  EXPECT_EQ(sink.all[0].kind, EventKind::vm_entry);
  EXPECT_EQ(sink.all[0].a, M::kVmcs);
  EXPECT_EQ(sink.all[0].b, M::kEptPml4 | 0x1e);
  EXPECT_EQ(sink.all[1].kind, EventKind::vm_exit);
  EXPECT_EQ(sink.all[1].a, static_cast<u64>(kHlt));
  EXPECT_EQ(sink.all[1].rip, M::kGuest);
}

}  // namespace
}  // namespace vt::cpu
