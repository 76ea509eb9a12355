; SPDX-License-Identifier: GPL-2.0-or-later
; A PVH guest of one page of code: says where it is on port 0xe9 (Xen prints that itself) and on the Xen console, waits until the console has
; taken it, and powers off. An ELF file written by hand, with the note that gives its 32-bit entry point.
; Xen "PVH direct boot": flat 32-bit segments, paging off, EBX: start info.   xen/include/public/hvm/start_info.h, io/console.h
%define BASE 0x100000
%define DEBUG_CONSOLE 0xe9
%define EVENT_CHANNEL_OP 32
%define SCHED_OP 29
%define HVM_OP 34
%define MAGIC 0x336ec578

bits 32
org BASE
elf:
    db 0x7f, "ELF", 1, 1, 1
    times 9 db 0
    dw 2, 3                                 ; an executable, for the 80386
    dd 1, entry, headers - elf, 0, 0
    dw 52, 32, 2, 40, 0, 0
headers:
    dd 1, 0, BASE, BASE, file_size, memory_size, 7, 0x1000
    dd 4, note - elf, note, note, note_size, note_size, 4, 4
note:
    dd 4, 4, 18                             ; XEN_ELFNOTE_PHYS32_ENTRY
    db "Xen", 0
    dd entry
note_size equ $ - note

entry:
    cld
    mov esp, stack_top
    cmp dword [ebx], MAGIC
    jne failed
    mov esi, text
    mov ecx, text_length
    mov edx, DEBUG_CONSOLE
    rep outsb
    mov eax, 0x40000000                     ; who is below: "XenVMMXenVMM"
    cpuid
    cmp ebx, 'XenV'
    jne failed
    mov eax, 0x40000002
    cpuid
    mov ecx, ebx                            ; the MSR that fills in the hypercall page
    mov eax, hypercalls
    xor edx, edx
    wrmsr

    mov eax, 17                             ; HVM_PARAM_CONSOLE_PFN
    call parameter
    shl eax, 12
    mov ebp, eax
    mov eax, 18                             ; HVM_PARAM_CONSOLE_EVTCHN
    call parameter
    mov [port], eax

    mov esi, text
    mov ecx, text_length
    mov edx, [ebp + 3084]                   ; out_prod
.put:
    lodsb
    mov ebx, edx
    and ebx, 2047
    mov [ebp + 1024 + ebx], al
    inc edx
    loop .put
    mov [ebp + 3084], edx
    mov ebx, 4                              ; EVTCHNOP_send
    mov ecx, port
    call hypercalls + 32 * EVENT_CHANNEL_OP
    test eax, eax
    jnz failed
.wait:
    mov eax, [ebp + 3080]                   ; out_cons
    cmp eax, [ebp + 3084]
    je .taken
    mov ebx, 3                              ; SCHEDOP_poll
    mov ecx, poll
    call hypercalls + 32 * SCHED_OP
    jmp .wait
.taken:
    mov ebx, 2                              ; SCHEDOP_shutdown: poweroff
    mov ecx, reason
    call hypercalls + 32 * SCHED_OP
failed:
    mov al, '?'
    out DEBUG_CONSOLE, al
    mov al, 10
    out DEBUG_CONSOLE, al
    cli
    hlt

; EAX: HVM parameter. -> EAX: its value
parameter:
    mov [hvm_parameter + 4], eax
    mov ebx, 1                              ; HVMOP_get_param
    mov ecx, hvm_parameter
    call hypercalls + 32 * HVM_OP
    test eax, eax
    jnz failed
    mov eax, [hvm_parameter + 8]
    ret

align 8
hvm_parameter:
    dw 0x7ff0, 0                            ; DOMID_SELF
    dd 0
    dq 0
poll:
    dd port, 1
    dq 0
port: dd 0
reason: dd 0
text: db "domU: a guest of Xen's, and all it does is to say so", 10
text_length equ $ - text
file_size equ $ - elf

absolute BASE + 0x1000
hypercalls: resb 0x1000
    resb 0x1000
stack_top:
memory_size equ $ - BASE
