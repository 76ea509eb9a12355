; SPDX-License-Identifier: GPL-2.0-or-later
; NEEDS vitrine
; ARGS one two
; EXPECT exit 0
; EXPECT console "multiboot2 one two"
; An image with a Multiboot 2 header and no other: the machine state, the tags (their order, sizes and end), then all of the information in hexadecimal on
; COM1, for whoever wants to read it.   Multiboot2 "I386 machine state", "Boot information format"
        bits 32
        section .multiboot progbits alloc noexec nowrite align=8
header: dd 0xe85250d6, 0, header_end - header, -(0xe85250d6 + header_end - header)
        dw 1, 0                         ; information request: command line, loader, memory, map, RSDP
        dd 28, 1, 2, 4, 6, 14
        dd 0                            ; tags are aligned to 8
        dw 1, 1                         ; would be nice: EFI's memory map, something unknown
        dd 16, 17, 99
        dw 4, 1                         ; a console, if there is one
        dd 12, 3, 0
        dw 6, 0                         ; modules on pages
        dd 8
        dw 0, 0
        dd 8
header_end:

        section .text
        global _start
_start: mov ebp, ebx
        mov edi, 1                      ; what is wrong, if something is
        cmp eax, 0x36d76289
        jne leave
        inc edi
        mov ecx, cr0
        and ecx, 0x80000001
        cmp ecx, 1
        jne leave
        inc edi
        test ebp, 7
        jnz leave
        mov esp, stack_top
        inc edi                         ; 4
        pushfd
        pop ecx
        test ecx, 0x20200
        jnz leave
        mov esi, name
        call print
        inc edi                         ; 5
        lea esi, [ebp + 8]
        mov ebx, [ebp]
        add ebx, ebp                    ; end
.tag:   lea ecx, [esi + 8]
        cmp ecx, ebx
        ja leave                        ; no end tag
        mov ecx, [esi + 4]
        cmp ecx, 8
        jb leave
        mov eax, [esi]
        test eax, eax
        jz .last
        cmp eax, 1
        jne .next
        push esi
        add esi, 8
.word:  inc esi                         ; the arguments, after the file's name
        cmp byte [esi - 1], ' '
        jne .word
        call print
        mov esi, newline
        call print
        pop esi
.next:  add ecx, 7
        and ecx, ~7
        add esi, ecx
        jmp .tag
.last:  inc edi                         ; 6
        cmp ecx, 8
        jne leave
        add esi, ecx
        cmp esi, ebx                    ; it is the end
        jne leave
        mov esi, ebp
        mov ecx, [ebp]
.byte:  mov al, [esi]
        shr al, 4
        call digit
        mov al, [esi]
        and al, 15
        call digit
        inc esi
        loop .byte
        mov esi, newline
        call print
        xor edi, edi
leave:  mov eax, edi
        out 0xf4, al
        cli
        hlt

        %include "print.inc"

        section .rodata
name:   db "multiboot2 ", 0
newline: db 13, 10, 0
        section .bss
        resb 4096
stack_top:
