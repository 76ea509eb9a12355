; SPDX-License-Identifier: GPL-2.0-or-later
; EXPECT exit 0
; EXPECT console "go"
; SKIP bochs has no exit device, and this guest prints no status
; What tests/cli/test_trace.py looks at instruction by instruction: after "go" comes a known sequence in 64-bit mode, with a 4 KiB page at 400000
; (data), nothing at 401000, and 2 MiB pages for the rest.
        bits 32
        section .multiboot progbits alloc noexec nowrite align=4
        dd 0x1BADB002, 3, -(0x1BADB002 + 3)

        section .text
        global _start, begin, finish, handler_ud, handler_pf, data, pml4, pdpt, pd, pt, stack_top, source, idt
_start: mov esp, stack_top
        mov dword [pml4], pdpt + 3
        mov dword [pdpt], pd + 3
        mov dword [pd], 0x83
        mov dword [pd + 8], 0x200083
        mov dword [pd + 16], pt + 3
        mov dword [pt], data + 3
        mov eax, handler_ud
        mov edi, idt + 6 * 16
        call gate
        mov eax, handler_pf
        mov edi, idt + 14 * 16
        call gate
        lidt [idt_pointer]
        lgdt [gdt_pointer]
        mov eax, 0x220                  ; OSFXSR, PAE
        mov cr4, eax
        mov eax, pml4
        mov cr3, eax
        mov ecx, 0xc0000080
        mov eax, 0x100                  ; LME
        xor edx, edx
        wrmsr
        mov eax, 0x80000011             ; PG, ET, PE
        mov cr0, eax
        jmp 8:wide
gate:   mov [edi], ax
        mov word [edi + 2], 8
        mov word [edi + 4], 0x8e00
        shr eax, 16
        mov [edi + 6], ax
        ret

        bits 64
wide:   mov eax, 0x10
        mov ss, eax
        mov ds, eax
        mov es, eax
        mov esp, stack_top
        mov dx, 0x3fb
        mov al, 3
        out dx, al
        mov dx, 0x3f8
        mov al, 'g'
        out dx, al
        mov al, 'o'
        out dx, al
        mov ebx, 0x400000
        mov rax, 0x1122334455667788
        mov al, 10
        out dx, al
begin:  mov [rbx + 8], rax
        add dword [rbx + 8], 1
        mov rcx, [rbx + 8]
        push rax
        pop rdi
        lea rdi, [rbx + 0x20]
        mov esi, source
        mov ecx, 3
        rep movsb
        xor ecx, ecx
        rep stosb
        mov ecx, 0xc0000080
        rdmsr
        in al, 0x61
        ud2
        mov al, [rbx + 0x1000]
        movq xmm1, rbx
        nop
finish: xor eax, eax
        out 0xf4, al
        hlt
handler_ud:
        add qword [rsp], 2
        iretq
handler_pf:
        add qword [rsp + 8], 6
        add rsp, 8
        iretq

        section .data
        align 8
gdt:    dq 0, 0x00209b0000000000, 0x0000930000000000
gdt_pointer: dw 23
        dd gdt
idt_pointer: dw 15 * 16 - 1
        dd idt
source: db "abc"

        section .bss
        alignb 4096
pml4:   resb 4096
pdpt:   resb 4096
pd:     resb 4096
pt:     resb 4096
data:   resb 4096
idt:    resb 4096
        resb 4096
stack_top:
