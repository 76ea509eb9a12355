// SPDX-License-Identifier: GPL-2.0-or-later
/// Small ELF files for tests, written by libelf.
#pragma once
#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace vt::hv {

struct MadeSymbol { std::string name; unsigned long at, size; };

/// An ELF file with a build-id note in a program header and, if there are any, symbols. `id`: raw bytes.
inline void make_elf(const std::string& file, bool is64, const std::string& id, const std::vector<MadeSymbol>& symbols, const std::string& text = {}) {
  elf_version(EV_CURRENT);
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  Elf* elf = elf_begin(fd, ELF_C_WRITE, nullptr);
  gelf_newehdr(elf, is64 ? ELFCLASS64 : ELFCLASS32);
  GElf_Ehdr eh{};
  gelf_getehdr(elf, &eh);
  eh.e_ident[EI_DATA] = ELFDATA2LSB;
  eh.e_type = ET_EXEC, eh.e_machine = is64 ? EM_X86_64 : EM_386, eh.e_version = EV_CURRENT;
  gelf_update_ehdr(elf, &eh);
  gelf_newphdr(elf, 1);
  std::vector<std::string> keep;
  keep.reserve(16);
  auto section = [&](const std::string& bytes, unsigned type, unsigned long entry, unsigned link, Elf_Type data_type) {
    keep.push_back(bytes);
    Elf_Scn* s = elf_newscn(elf);
    Elf_Data* d = elf_newdata(s);
    d->d_buf = keep.back().data(), d->d_size = keep.back().size(), d->d_align = 8, d->d_type = data_type, d->d_version = EV_CURRENT;
    GElf_Shdr h{};
    gelf_getshdr(s, &h);
    h.sh_type = type, h.sh_entsize = entry, h.sh_link = link, h.sh_flags = type == SHT_PROGBITS ? SHF_ALLOC : 0, h.sh_addralign = 8;
    gelf_update_shdr(s, &h);
    return s;
  };
  section(text.empty() ? "text" : text, SHT_PROGBITS, 0, 0, ELF_T_BYTE);
  std::string note;
  auto word = [&](unsigned v) { note.append(reinterpret_cast<const char*>(&v), 4); };
  word(4), word(static_cast<unsigned>(id.size())), word(NT_GNU_BUILD_ID);
  note += std::string("GNU\0", 4) + id;
  while (note.size() % 4) note += '\0';
  Elf_Scn* notes = section(note, SHT_PROGBITS, 0, 0, ELF_T_BYTE);
  if (!symbols.empty()) {
    std::string names(1, '\0'), table(sizeof(Elf64_Sym), '\0');
    for (auto& s : symbols) {
      Elf64_Sym e{};
      e.st_name = static_cast<unsigned>(names.size()), e.st_value = s.at, e.st_size = s.size, e.st_shndx = 1;
      e.st_info = ELF64_ST_INFO(STB_GLOBAL, s.size ? STT_FUNC : STT_NOTYPE);
      names += s.name + '\0';
      table.append(reinterpret_cast<const char*>(&e), sizeof e);
    }
    section(names, SHT_STRTAB, 0, 0, ELF_T_BYTE);
    section(table, SHT_SYMTAB, sizeof(Elf64_Sym), 3, ELF_T_SYM);
  }
  elf_update(elf, ELF_C_NULL);   // lays the sections out
  GElf_Shdr h{};
  gelf_getshdr(notes, &h);
  GElf_Phdr p{};
  p.p_type = PT_NOTE, p.p_offset = h.sh_offset, p.p_filesz = p.p_memsz = note.size(), p.p_align = 4;
  gelf_update_phdr(elf, 0, &p);
  elf_update(elf, ELF_C_WRITE);
  elf_end(elf);
  ::close(fd);
}

}  // namespace vt::hv
