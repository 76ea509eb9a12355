; SPDX-License-Identifier: GPL-2.0-or-later
; NEEDS vitrine
; EXPECT exit 0
; EXPECT console "written"
; Writes on the VGA's text screen and on COM2: what `vitrine show screen` and console2.txt are tested with. Line 0 has "Hello, screen" in yellow on blue, line 2 code page 437 in
; its order from 80h on in the usual colours, the cursor is at column 7 of line 4, and the last place has a blinking < of light red.
        bits 32
        section .multiboot progbits alloc noexec nowrite align=4
        dd 0x1BADB002, 3, -(0x1BADB002 + 3)

        section .text
        global _start
_start: mov esp, stack_top
        mov edi, 0xb8000
        mov esi, hello
        mov ah, 0x1e
.next:  lodsb
        test al, al
        jz .line
        stosw
        jmp .next
.line:  mov edi, 0xb8000 + 2 * 2 * 80
        mov ax, 0x0780
.high:  stosw
        inc al
        cmp al, 0xd0
        jb .high
        mov word [0xb8000 + 2 * (25 * 80 - 1)], 0x8c00 | '<'
        mov dx, 0x3d4
        mov ax, (4 * 80 + 7) >> 8 << 8 | 0x0e
        out dx, ax
        mov ax, ((4 * 80 + 7) & 255) << 8 | 0x0f
        out dx, ax
        mov edx, 0x2f8
        mov esi, second
        call print
        mov edx, 0x3f8
        mov esi, first
        call print
        xor eax, eax
        out 0xf4, al
        cli
        hlt
print:  add edx, 5
.wait:  in al, dx
        test al, 0x20
        jz .wait
        sub edx, 5
        lodsb
        test al, al
        jz .end
        out dx, al
        jmp print
.end:   ret

        section .rodata
hello:  db "Hello, screen", 0
first:  db "written", 13, 10, 0
second: db "from the second port", 13, 10, "and again", 13, 10, 0
        section .bss
        resb 4096
stack_top:
