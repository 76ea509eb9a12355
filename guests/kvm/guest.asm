; SPDX-License-Identifier: GPL-2.0-or-later
; A guest for KVM, in real-address mode at 0x1000. It goes to protected mode with paging, prints on port 0xe9, writes to a device that its
; monitor plays, and ends: by HLT when BX is 0; otherwise it has a local APIC, whose timer it lets interrupt it three times, and ends
; by a write to port 0xf4.
%define PRINT 0xe9
%define END 0xf4
%define APIC 0xfee00000
%define DIRECTORY 0x10000
%define DEVICE 0xd0000000

bits 16
org 0x1000
start:
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x1000
    cld
    mov bp, bx                      ; what was asked for
    mov si, real_text
.next:
    lodsb
    test al, al
    jz .signature
    out PRINT, al
    jmp .next
.signature:                         ; who runs us: the hypervisor's CPUID leaf
    mov eax, 0x40000000
    cpuid
    mov [name], ebx
    mov [name + 4], ecx
    mov [name + 8], edx
    mov si, name
    mov cx, name_length
    mov dx, PRINT
    rep outsb
    lgdt [gdt_pointer]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp 8:protected

bits 32
protected:
    mov ax, 16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov esp, 0x1000
    mov edi, DIRECTORY              ; 4 MiB pages: the first one, the APIC's, the device's
    xor eax, eax
    mov ecx, 1024
    rep stosd
    mov dword [DIRECTORY], 0x83
    mov dword [DIRECTORY + (APIC >> 22) * 4], 0xfec00000 | 0x9b
    mov dword [DIRECTORY + (DEVICE >> 22) * 4], DEVICE | 0x9b
    mov eax, cr4
    or eax, 0x10
    mov cr4, eax
    mov eax, DIRECTORY
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov esi, paged_text
    mov ecx, paged_length
    mov edx, PRINT
    rep outsb
    mov dword [DEVICE + 0x10], 0x600d
    mov eax, [DEVICE + 0x20]        ; the monitor answers with this number's complement
    cmp eax, ~0x600d
    jne failed
    test bp, bp
    jnz with_apic
    mov esi, halt_text
    mov ecx, halt_length
    rep outsb
    cli
    hlt
failed:
    mov al, 1
    out END, al

with_apic:
    mov al, 0xff                    ; the 8259s are silent
    out 0x21, al
    out 0xa1, al
    mov eax, tick
    mov [idt + 0x40 * 8], ax
    mov word [idt + 0x40 * 8 + 2], 8
    mov word [idt + 0x40 * 8 + 4], 0x8e00
    shr eax, 16
    mov [idt + 0x40 * 8 + 6], ax
    lidt [idt_pointer]
    mov dword [APIC + 0xf0], 0x1ff
    mov dword [APIC + 0x3e0], 0xb   ; by 1
    mov dword [APIC + 0x320], 0x40  ; one-shot
    mov dword [APIC + 0x80], 0x50   ; the task priority holds vector 0x40 back
    mov dword [APIC + 0x380], 20000
    sti
.held:
    mov eax, [APIC + 0x220]         ; IRR of 0x40
    test al, 1
    jz .held
    cmp dword [APIC + 0x80], 0x50
    jne failed
    cmp dword [ticks], 0
    jne failed
    mov edx, PRINT
    mov al, 'h'
    out dx, al
    mov dword [APIC + 0x80], 0      ; comes now
    cmp dword [ticks], 1
    jne failed
.again:
    cmp dword [ticks], 3
    je .done
    cli
    mov dword [APIC + 0x380], 20000
    sti
    hlt
    jmp .again
.done:
    mov esi, apic_text
    mov ecx, apic_length
    rep outsb
    mov al, 0
    out END, al

tick:
    push eax
    inc dword [ticks]
    mov al, 't'
    out PRINT, al
    mov dword [APIC + 0xb0], 0
    pop eax
    iretd

align 8
gdt:
    dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
    dw 23
    dd gdt
idt_pointer:
    dw 0x41 * 8 - 1
    dd idt
ticks: dd 0
real_text: db "real mode under ", 0
name: times 12 db 0
    db 10
name_length equ $ - name
paged_text: db "protected mode, paging", 10
paged_length equ $ - paged_text
halt_text: db "halting", 10
halt_length equ $ - halt_text
apic_text: db 10, "three timer interrupts", 10
apic_length equ $ - apic_text
align 8
idt: times 0x41 dq 0
