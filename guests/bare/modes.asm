; SPDX-License-Identifier: GPL-2.0-or-later
; EXPECT exit 0
; EXPECT console "all modes"
; Every transition between the modes: protected 32 -> protected 16 -> real -> (interrupts, big real) -> protected -> long ->
; compatibility -> long -> compatibility -> protected -> PAE -> 32-bit paging -> protected -> virtual-8086 and back.
; SDM 3A "Mode Switching", "Initializing IA-32e Mode"
        bits 32
        section .multiboot progbits alloc noexec nowrite align=4
        dd 0x1BADB002, 3, -(0x1BADB002 + 3)

LOW     equ 0x8000                      ; where the 16-bit part goes
SEEN    equ 0x7000                      ; a byte for each thing that went well
%define low(x) ((x) - low_start + LOW)
%macro good 1
        mov byte [SEEN + %1], 1
%endmacro

        section .text
        global _start
_start: cli
        cld
        mov esp, stack_top
        mov edi, SEEN
        xor eax, eax
        mov ecx, 64 / 4
        rep stosd
        mov esi, low_start
        mov edi, LOW
        mov ecx, low_end - low_start
        rep movsb
        ; descriptor bases for code and data at LOW are the image's: flat ones only
        lgdt [gdt_pointer]
        jmp 0x08:.flat
.flat:  mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        good 0
        ; ---- protected 16, then real ----
        jmp 0x20:low(to_real)

; back from real mode, in 32-bit protected mode
back_from_real:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov esp, stack_top
        push dword 0x12345678
        pop eax
        cmp eax, 0x12345678
        jne .bad
        good 6
.bad:
        ; ---- long mode: PAE, LME, PG ----
        mov dword [pml4], pdpt + 3
        mov dword [pdpt], pd + 3
        mov dword [pd], 0x83
        mov dword [pd + 8], 0x200083
        mov eax, cr4
        or eax, 0x20
        mov cr4, eax
        mov eax, pml4
        mov cr3, eax
        mov ecx, 0xC0000080
        rdmsr
        or eax, 0x100
        wrmsr
        rdmsr
        test eax, 0x400                 ; LMA not before PG
        jnz .no1
        good 7
.no1:   mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        rdmsr
        test eax, 0x400                 ; LMA, and CS.L = 0: compatibility mode
        jz .no2
        good 8
.no2:   mov eax, 1                      ; 40 48 is INC, DEC here and REX in 64-bit mode
        db 0x48                         ; dec eax
        test eax, eax
        jnz .no3
        good 9
.no3:   jmp 0x18:long_mode

        bits 64
long_mode:
        mov rax, 0x1122334455667788
        mov r15, rax
        shr rax, 32
        cmp eax, 0x11223344
        jne .no
        good 10
.no:    mov ax, 0x10
        mov ss, ax
        mov rsp, stack_top
        push qword 0x7f
        cmp dword [rsp + 4], 0
        jne .no1
        good 11
.no1:   pop rax
        ; far return to compatibility mode and back by a far jump
        push qword 0x08
        push qword compat
        db 0x48
        retf
back64: cmp r15d, 0x55667788            ; the low half at least survives
        jne .no2
        good 13
.no2:   ; leave: compatibility first, then PG off
        push qword 0x08
        push qword leave_long
        db 0x48
        retf

        bits 32
compat: mov eax, 1
        db 0x48                         ; dec eax
        test eax, eax
        jnz .no
        push dword 1                    ; four bytes on the stack
        pop eax
        good 12
.no:    mov eax, ds
        jmp 0x18:back64

leave_long:
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        jmp .next
.next:  mov ecx, 0xC0000080
        rdmsr
        test eax, 0x400                 ; LMA gone with PG
        jnz .no
        good 14
.no:    and eax, ~0x100
        wrmsr
        ; ---- PAE paging without long mode: the four entries of the PDPT ----
        mov dword [pdpt], pd + 1
        mov eax, pdpt
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        mov dword [pd + 16], 0x83       ; 4 MiB -> 0
        mov dword [pd + 20], 0
        mov eax, pdpt
        mov cr3, eax
        mov eax, [0x400000 + SEEN]
        cmp eax, [SEEN]
        jne .no1
        good 15
.no1:   mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        mov eax, cr4
        and eax, ~0x20
        or eax, 0x10                    ; PSE
        mov cr4, eax
        ; ---- 32-bit paging with 4 MiB pages and one 4 KiB table ----
        mov dword [pml4], 0x83
        mov dword [pml4 + 4], pt + 3
        mov dword [pt], SEEN + 3
        mov eax, pml4
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        mov eax, [0x400000]
        cmp eax, [SEEN]
        jne .no2
        good 16
.no2:   test dword [pt], 0x20           ; accessed
        jz .no3
        test dword [pml4], 0x60
        jz .no3
        good 17
.no3:   mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        xor eax, eax
        mov cr3, eax
        ; ---- virtual-8086 mode: INT n comes back through the IDT ----
        mov eax, v86_back
        mov [idt + 0x30 * 8], ax
        shr eax, 16
        mov [idt + 0x30 * 8 + 6], ax
        mov word [idt + 0x30 * 8 + 2], 0x08
        mov word [idt + 0x30 * 8 + 4], 0xee00
        lidt [idt_pointer]
        mov eax, tss
        mov [gdt + 0x38 + 2], ax
        shr eax, 16
        mov [gdt + 0x38 + 4], al
        mov [gdt + 0x38 + 7], ah
        mov dword [tss + 4], stack_top
        mov dword [tss + 8], 0x10
        mov word [tss + 102], 104
        mov eax, 0x38
        ltr ax
        push dword 0x5555               ; GS
        push dword 0x4444               ; FS
        push dword SEEN >> 4            ; DS
        push dword 0x3333               ; ES
        push dword 0x0600               ; SS
        push dword 0x0f00               ; SP
        push dword 0x20002 | 0x3000     ; VM, IOPL 3 (INT n is not #GP)
        push dword LOW >> 4             ; CS
        push dword v86 - low_start      ; IP
        iret

v86_back:
        ; stack: EIP CS EFLAGS ESP SS ES DS FS GS; DS and the others are null now
        mov ecx, ds
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        test ecx, ecx
        jnz .no
        good 19
.no:    cmp dword [esp + 32], 0x5555
        jne .no1
        cmp dword [esp + 24], SEEN >> 4
        jne .no1
        test dword [esp + 8], 0x20000
        jz .no1
        good 20
.no1:   mov esp, stack_top
        ; ---- the report ----
        mov esi, names
        xor ebx, ebx
        xor ebp, ebp                    ; how many are missing
.each:  cmp byte [esi], 0
        je .end
        mov edi, ok_text
        cmp byte [SEEN + ebx], 1
        je .say
        mov edi, fail_text
        inc ebp
.say:   xchg esi, edi
        call print
        mov esi, edi
        call print
        push esi
        mov esi, newline
        call print
        pop esi
        inc ebx
        jmp .each
.end:   test ebp, ebp
        jnz .out
        mov esi, all_text
        call print
.out:   mov eax, ebp
        out 0xf4, al
        mov esi, status_text
        add byte [status_digit], al
        call print
        mov esi, off
        mov dx, 0x8900
        mov ecx, 8
        rep outsb
        cli
        hlt

print:  push eax                        ; ESI: text, left behind its end
        push edx
        mov dx, 0x3fb
        mov al, 3
        out dx, al
.next:  lodsb
        test al, al
        jz .end
        mov ah, al
.wait:  mov dx, 0x3fd
        in al, dx
        test al, 0x20
        jz .wait
        mov al, ah
        mov dx, 0x3f8
        out dx, al
        jmp .next
.end:   pop edx
        pop eax
        ret

; ---- the part below 1 MiB ----
        section .low progbits alloc exec write align=16
        bits 16
low_start:
to_real:                                ; CS is a 16-bit code segment of base 0, DS still flat
        mov ax, 0x28
        mov ds, ax                      ; 16-bit data with a limit of 64 KiB
        mov es, ax
        mov ss, ax
        mov byte [SEEN + 1], 1
        mov esp, 0x6ff0
        lidt [low(real_idt)]
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0x0000:low(.real)
.real:  xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov byte [SEEN + 2], 1
        ; an interrupt through the vector table at 0
        mov word [0x40 * 4], low(handler)
        mov word [0x40 * 4 + 2], 0
        mov bx, 0
        stc
        int 0x40
        jnc .no                         ; IRET brings CF back
        cmp bx, 0x4321
        jne .no
        mov byte [SEEN + 3], 1
.no:    ; segment arithmetic and the wrap within 64 KiB
        mov ax, 0x0700
        mov fs, ax
        mov byte [fs:0x30], 0x5a
        cmp byte [SEEN + 0x30], 0x5a
        jne .no1
        mov byte [SEEN + 4], 1
.no1:   mov byte [SEEN + 0x30], 0
        ; big real mode: a limit of 4 GiB stays in the descriptor cache
        lgdt [low(real_gdt)]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp .pe
.pe:    mov bx, 0x10
        mov gs, bx
        and al, 0xfe
        mov cr0, eax
        jmp .unreal
.unreal:
        mov ebx, 0x100000
        cmp dword [gs:ebx], 0x1BADB002
        jne .no2
        mov byte [SEEN + 5], 1
.no2:   mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 0x08:back_from_real
handler:
        mov bx, 0x4321
        clc
        iret
v86:    mov byte [18], 1                ; DS is SEEN >> 4
        int 0x30
        align 8
real_idt: dw 0x3ff
        dd 0
real_gdt: dw 63
        dd gdt
low_end:

        section .data
        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; 08 code 32
        dq 0x00cf93000000ffff           ; 10 data
        dq 0x00af9b000000ffff           ; 18 code 64
        dq 0x00009b000000ffff           ; 20 code 16
        dq 0x000093000000ffff           ; 28 data 16
        dq 0                            ; 30
        dq 0x0000890000000067           ; 38 TSS
gdt_pointer: dw 63
        dd gdt
idt_pointer: dw 0x31 * 8 - 1
        dd idt
names:  db "protected mode, 32 bits", 0
        db "protected mode, 16 bits", 0
        db "real mode", 0
        db "INT and IRET in real mode", 0
        db "real-mode segments", 0
        db "big real mode", 0
        db "back in protected mode", 0
        db "LME alone does not set LMA", 0
        db "PG sets LMA", 0
        db "compatibility mode: 48 is DEC", 0
        db "64-bit mode", 0
        db "64-bit pushes", 0
        db "far return to compatibility mode", 0
        db "far jump back to 64-bit mode", 0
        db "out of long mode", 0
        db "PAE paging", 0
        db "32-bit paging", 0
        db "accessed bits", 0
        db "virtual-8086 mode", 0
        db "leaving it clears the segment registers", 0
        db "and keeps them on the stack", 0
        db 0
ok_text: db "ok ", 0
fail_text: db "FAIL ", 0
newline: db 13, 10, 0
all_text: db "all modes", 13, 10, 0
status_text: db "exit status "
status_digit: db "0", 13, 10, 0
off:    db "Shutdown"
        section .bss
        alignb 4096
pml4:   resb 4096
pdpt:   resb 4096
pd:     resb 4096
pt:     resb 4096
idt:    resb 0x31 * 8
        alignb 16
tss:    resb 104
        alignb 16
        resb 4096
stack_top:
