; SPDX-License-Identifier: GPL-2.0-or-later
; EXPECT exit 0
; SKIP bochs has no exit device, and this guest prints no status
; EXPECT console "hello from protected mode"
; The smallest guest: Multiboot's entry state, one line on COM1, the exit device. No runtime.
        bits 32
        section .multiboot progbits alloc noexec nowrite align=4
        dd 0x1BADB002, 3, -(0x1BADB002 + 3)

        section .text
        global _start
_start: cmp eax, 0x2BADB002
        jne fail
        mov ecx, cr0
        and ecx, 0x80000001
        cmp ecx, 1                      ; protected mode, no paging
        jne fail
        mov esp, stack_top
        pushfd
        pop ecx
        test ecx, 0x20200               ; neither IF nor VM
        jnz fail
        mov ecx, ss
        test ecx, ecx
        jz fail
        mov eax, [ebx]                  ; the information structure: flags, and memory if bit 0
        test al, 1
        jz fail
        cmp dword [ebx + 8], 65536      ; 64 MiB at least
        jb fail
        mov dx, 0x3fb
        mov al, 3                       ; eight bits
        out dx, al
        mov esi, text
.next:  lodsb
        test al, al
        jz .end
        mov cl, al
        mov dx, 0x3fd
.wait:  in al, dx
        test al, 0x20
        jz .wait
        mov al, cl
        mov dx, 0x3f8
        out dx, al
        jmp .next
.end:   xor eax, eax
        jmp leave
fail:   mov eax, 1
leave:  out 0xf4, al
        mov esi, off                    ; Bochs has no exit device: this is its way
        mov dx, 0x8900
        mov ecx, 8
        rep outsb
        cli
        hlt

        section .rodata
text:   db "hello from protected mode", 13, 10, 0
off:    db "Shutdown"
        section .bss
        resb 4096
stack_top:
