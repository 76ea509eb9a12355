// SPDX-License-Identifier: GPL-2.0-or-later
/// The description's JSON. Each structure names its fields once, in `fields()`; reading and writing are
/// two visitors of it. What is not named there is refused.
#include "json_reader.hpp"
#include "timing_json.hpp"

namespace vt::fw {
namespace {

constexpr const char* kFormat = "platform/1";

constexpr Name<E820> kE820Names[] = {{E820::RAM, "RAM"}, {E820::RESERVED, "RESERVED"}, {E820::ACPI, "ACPI"},
                                     {E820::NVS, "NVS"}, {E820::UNUSABLE, "UNUSABLE"}, {E820::PMEM, "PMEM"}};
constexpr Name<MemType> kMemTypeNames[] = {{MemType::UC, "UC"}, {MemType::WC, "WC"}, {MemType::WT, "WT"}, {MemType::WP, "WP"}, {MemType::WB, "WB"}};
constexpr Name<DeviceScope::Kind> kScopeNames[] = {{DeviceScope::Kind::endpoint, "endpoint"}, {DeviceScope::Kind::bridge, "bridge"},
                                                   {DeviceScope::Kind::ioapic, "ioapic"}, {DeviceScope::Kind::hpet, "hpet"}};
constexpr Name<PciBar::Kind> kBarNames[] = {{PciBar::Kind::mem32, "mem32"}, {PciBar::Kind::mem64, "mem64"}, {PciBar::Kind::io, "io"}};

/// What an import leaves in a description beside the machine: read, and never written by `to_json`.
struct Note { std::string from, what; };
struct Table { std::string signature, from, bytes; };
struct ImportNotes { std::vector<std::string> files; std::vector<Origin> origins; std::vector<Note> not_carried, unreadable; std::vector<Table> tables; };

}  // namespace

// ---- the fields ----

template <class V> void fields(V& v, E820Range& r) { v.extent(r.first, r.size); v.name("type", r.type, kE820Names, true); }
template <class V> void fields(V& v, Mtrrs::Variable& r) {
  v.address("base", r.base, true); v.address("size", r.size, true); v.name("type", r.type, kMemTypeNames, true);
}
template <class V> void fields(V& v, Mtrrs& m) { v.name("def", m.def, kMemTypeNames); v.list("variable", m.variable); }
template <class V> void fields(V& v, DeviceScope& s) {
  v.name("kind", s.kind, kScopeNames, true); v.number("enumeration_id", s.enumeration_id, 255);
  v.number("bus", s.bus, 255); v.path("path", s.path);
}
template <class V> void fields(V& v, Drhd& d) {
  v.address("address", d.address);
  v.flag("include_all", d.include_all);
  v.list("scopes", d.scopes);
  v.numbers("sagaw", d.sagaw);
  v.number("mgaw", d.mgaw);
  v.flag("superpage_2m", d.superpage_2m);
  v.flag("superpage_1g", d.superpage_1g);
  v.flag("caching_mode", d.caching_mode);
  v.flag("coherent", d.coherent);
  v.flag("queued_invalidation", d.queued_invalidation);
  v.flag("interrupt_remapping", d.interrupt_remapping);
  if (!d.interrupt_remapping) d.extended_interrupt_mode = false;   // unless said otherwise, which platform_check.cpp refuses
  v.flag("extended_interrupt_mode", d.extended_interrupt_mode);
  v.flag("snoop_control", d.snoop_control);
  v.flag("pass_through", d.pass_through);
  v.flag("write_buffer_flush", d.write_buffer_flush);
  v.flag("zero_length_read", d.zero_length_read);
  v.flag("plmr", d.plmr);
  v.flag("phmr", d.phmr);
  v.flag("drain_reads", d.drain_reads);
  v.flag("drain_writes", d.drain_writes);
  v.number("domain_id_bits", d.domain_id_bits);
  v.number("fault_records", d.fault_records);
  v.address("fault_offset", d.fault_offset);
  v.address("iotlb_offset", d.iotlb_offset);
  v.number("iotlb_entries", d.iotlb_entries);
  v.number("context_entries", d.context_entries);
}
template <class V> void fields(V& v, Rmrr& r) { v.address("first", r.first, true); v.address("last", r.last, true); v.list("scopes", r.scopes); }
template <class V> void fields(V& v, PciBar& b) {
  v.number("index", b.index, 5); v.name("kind", b.kind, kBarNames); v.flag("prefetchable", b.prefetchable);
  v.address("address", b.address); v.address("size", b.size, true);
}
template <class V> void fields(V& v, DmaAccess& a) {
  v.number("at", a.at); v.address("address", a.address, true); v.number("size", a.size); v.flag("write", a.write);
  v.number("value", a.value, 255); v.number("every", a.every); v.number("times", a.times);
}
template <class V> void fields(V& v, PciDisk& d) {
  v.number("port", d.port); v.address("size", d.size, true); v.text("sha256", d.sha256);
}
template <class V> void fields(V& v, PciFunction& f) {
  v.bdf("bdf", f.bdf);
  v.address("vendor", f.vendor);
  v.address("device", f.device, !v.modelled());
  v.address("class_code", f.class_code, !v.modelled());
  v.address("revision", f.revision);
  v.address("subsystem_vendor", f.subsystem_vendor);
  v.address("subsystem", f.subsystem);
  v.list("bars", f.bars);
  v.number("interrupt_pin", f.interrupt_pin, 255);
  v.number("interrupt_line", f.interrupt_line, 255);
  v.flag("msi", f.msi);
  v.maybe("secondary_bus", f.secondary_bus);
  v.text("model", f.model);
  v.list_if_any("disks", f.disks);
  v.list_if_any("dma", f.dma);
}
template <class V> void fields(V& v, IsaDevice& d) { v.text("model", d.model); v.address("iobase", d.iobase); v.address("iosize", d.iosize); }
template <class V> void fields(V& v, CpuSpec& c) {
  v.text("model", c.model);
  v.texts("features", c.features);
  v.number("count", c.count);
  v.number("physical_address_bits", c.physical_address_bits);
  v.number("tsc_hz", c.tsc_hz);
  v.number_if_any("schedule_seed", c.schedule_seed);
}
template <class V> void fields(V& v, Origin& o) {
  v.text("field", o.field); v.text("from", o.from); v.flag("guessed", o.guessed); v.text("why", o.why);
}
template <class V> void fields(V& v, Note& n) { v.text("from", n.from); v.text("what", n.what); }
template <class V> void fields(V& v, Table& t) { v.text("signature", t.signature); v.text("from", t.from); v.text("bytes", t.bytes); }
template <class V> void fields(V& v, ImportNotes& n) {
  v.texts("files", n.files); v.list("fields", n.origins); v.list("not_carried", n.not_carried); v.list("unreadable", n.unreadable);
  v.list("tables", n.tables);
}
template <class V> void fields(V& v, Platform& p) {
  v.text("name", p.name);
  v.text("description", p.description);
  v.address("memory", p.memory);
  v.list("e820", p.e820);
  v.object("mtrrs", p.mtrrs);
  v.object("cpu", p.cpu);
  v.flag("vtd", p.vtd);
  v.flag("dmar_interrupt_remapping", p.dmar_interrupt_remapping);
  v.flag("x2apic_opt_out", p.x2apic_opt_out);
  v.number("host_address_width", p.host_address_width);
  v.list("drhds", p.drhds);
  v.list("rmrrs", p.rmrrs);
  v.list("pci", p.pci);
  v.list_if_any("isa", p.isa);
  v.address("ecam", p.ecam);
  v.number("ecam_buses", p.ecam_buses);
  v.address("ioapic", p.ioapic);
  v.number("ioapic_id", p.ioapic_id, 255);
  v.flag("hpet", p.hpet);
  v.address("hpet_address", p.hpet_address);
  v.flag("vga", p.vga);
  v.flag("i8042", p.i8042);
  v.flag("com2", p.com2);
  v.address("pm_base", p.pm_base);
  v.number("rsdp_revision", p.rsdp_revision);
  v.text("rtc", p.rtc);
}

Platform parse_platform(const std::string& text, const std::string& file) {
  json j = parse_strictly(text, file);
  JsonReader r(file, "", j);
  std::string format;
  if (!r.has("vitrine")) throw PlatformError(file, "vitrine", fmt::format("is missing; a platform description begins with \"vitrine\": \"{}\"", kFormat));
  r.text("vitrine", format);
  if (format != kFormat)
    throw PlatformError(file, "vitrine", fmt::format("\"{}\" is not a format this version reads; it reads \"{}\"", format, kFormat));
  Platform p;
  p.file = file;
  if (!file.empty()) {
    std::size_t slash = file.rfind('/'), from = slash == file.npos ? 0 : slash + 1, dot = file.rfind('.');
    p.name = file.substr(from, dot != file.npos && dot > from ? dot - from : file.npos);
  }
  fields(r, p);
  p.tsc_derived = !j.contains("cpu") || !j["cpu"].contains("tsc_hz");
  read_timing(r, p.timing);
  ImportNotes notes;
  r.object("import", notes);
  p.origins = std::move(notes.origins);
  r.finish();
  if (!p.e820.empty() && !r.has("memory")) {
    p.memory = 0;
    for (const E820Range& e : p.e820) if (e.type == E820::RAM) p.memory += e.size;
  }
  complete(p);
  return p;
}

Platform load_platform(const std::string& file) {
  return parse_platform(read_description(file, "platform description"), file);
}

std::string to_json(const Platform& p) {
  JsonWriter w;
  w.out["vitrine"] = kFormat;
  Platform copy = p;   // visitors take fields by reference, since reading fills them
  fields(w, copy);
  write_timing(w, copy.timing);
  return w.out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace vt::fw
