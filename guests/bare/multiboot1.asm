; SPDX-License-Identifier: GPL-2.0-or-later
; ARGS one two
; SKIP bochs has no exit device, and this guest prints no status
; EXPECT exit 0
; EXPECT console "multiboot1 one two"
; An image with a Multiboot 1 header and no other: what is in the information structure and behind its pointers, in hexadecimal on
; COM1, for whoever wants to read it.   Multiboot "Boot information format"
        bits 32
        section .multiboot progbits alloc noexec nowrite align=4
header: dd 0x1BADB002, 3, -(0x1BADB002 + 3)

        section .text
        global _start
_start: mov edi, 1
        cmp eax, 0x2BADB002
        jne leave
        mov esp, stack_top
        mov ebp, ebx
        inc edi
        mov eax, [ebp]
        and eax, 0x45                   ; memory, command line, map
        cmp eax, 0x45
        jne leave
        mov esi, name
        call print
        mov esi, [ebp + 16]
.word:  inc esi
        cmp byte [esi - 1], ' '
        jne .word
        call print
        mov esi, newline
        call print
        mov esi, ebp                    ; a line for the structure
        mov ecx, 68
        call dump
        mov esi, [ebp + 48]             ; one for the map
        mov ecx, [ebp + 44]
        call dump
        mov esi, [ebp + 24]             ; one for the modules, and each one's string and bytes
        mov ecx, [ebp + 20]
        shl ecx, 4
        call dump
        mov ebx, [ebp + 24]
        mov edi, [ebp + 20]
        test edi, edi
        jz .done
.module:
        mov esi, [ebx + 8]
        call print
        mov esi, newline
        call print
        mov esi, [ebx]
        mov ecx, [ebx + 4]
        sub ecx, esi
        call dump
        add ebx, 16
        dec edi
        jnz .module
.done:  xor edi, edi
leave:  mov eax, edi
        out 0xf4, al
        cli
        hlt

dump:   jecxz .end
.byte:  mov al, [esi]
        shr al, 4
        call digit
        mov al, [esi]
        and al, 15
        call digit
        inc esi
        loop .byte
.end:   mov esi, newline
        jmp print
        %include "print.inc"

        section .rodata
name:   db "multiboot1 ", 0
newline: db 13, 10, 0
        section .bss
        resb 4096
stack_top:
