; SPDX-License-Identifier: GPL-2.0-or-later
; A 64-bit PV guest with a PCI function of its own, the DMA function of docs/dma-function.md, whose BAR's address is its command line. It
; maps the function's registers, lets it write into its memory, says on the Xen console what came of it, and powers off.
; An ELF file written by hand, with the notes that Xen's domain builder asks for.   xen/include/public/xen.h, elfnote.h, io/console.h
%define BASE 0x100000
%define UPDATE_VA_MAPPING 14
%define SCHED_OP 29
%define EVENT_CHANNEL_OP 32

%macro number_note 2
    dd 4, 8, %1
    db "Xen", 0
    dq %2
%endmacro
%macro text_note 2                          ; seven characters and a zero
    dd 4, 8, %1
    db "Xen", 0, %2, 0
%endmacro

bits 64
default rel
org BASE
elf:
    db 0x7f, "ELF", 2, 1, 1
    times 9 db 0
    dw 2, 62                                ; an executable, for x86-64
    dd 1
    dq entry, headers - elf, 0
    dd 0
    dw 64, 56, 2, 64, 0, 0
headers:
    dd 1, 7
    dq 0, BASE, BASE, file_size, memory_size, 0x1000
    dd 4, 4
    dq notes - elf, notes, notes, notes_size, notes_size, 4
notes:
    number_note 1, entry                    ; XEN_ELFNOTE_ENTRY
    number_note 2, hypercalls               ; XEN_ELFNOTE_HYPERCALL_PAGE
    number_note 3, 0                        ; XEN_ELFNOTE_VIRT_BASE
    number_note 4, 0                        ; XEN_ELFNOTE_PADDR_OFFSET
    text_note 5, "xen-3.0"                  ; XEN_ELFNOTE_XEN_VERSION
    text_note 6, "vitrine"                  ; XEN_ELFNOTE_GUEST_OS
    text_note 8, "generic"                  ; XEN_ELFNOTE_LOADER
notes_size equ $ - notes

; RSI: start_info. Its fields: nr_pages +32, console mfn +72 and event channel +80, mfn_list +104, the command line +128
entry:
    cld
    mov rsp, stack_top
    mov r12, rsi
    mov r13, [r12 + 104]                    ; mfn_list: machine page by page
    mov rax, [r12 + 72]                     ; where is the console's page?
    xor ecx, ecx
.find:
    cmp [r13 + rcx * 8], rax
    je .found
    inc rcx
    cmp rcx, [r12 + 32]
    jb .find
    jmp failed
.found:
    shl rcx, 12
    mov rbp, rcx
    mov eax, [r12 + 80]
    mov [port], eax
    mov rsi, hello
    mov ecx, hello_length
    call print

    lea rsi, [r12 + 128]                    ; the BAR's address: hexadecimal digits
    xor ebx, ebx
.digit:
    lodsb
    test al, al
    jz .address
    or al, 0x20
    sub al, '0'
    cmp al, 10
    jb .add
    sub al, 'a' - '0' - 10
    cmp al, 16
    jae failed
.add:
    shl rbx, 4
    movzx eax, al
    or rbx, rax
    jmp .digit
.address:
    mov rdi, registers                      ; this page of ours shall be the function's registers
    mov rsi, rbx
    or rsi, 0x7f                            ; present, writable, user, uncached, accessed, dirty
    mov edx, 2                              ; UVMF_INVLPG, here
    call hypercalls + 32 * UPDATE_VA_MAPPING
    test eax, eax
    jnz refused
    mov r14, registers
.ready:                                     ; dom0 switches memory and bus mastering on
    cmp dword [r14], 0x4d445456
    je .command
    call give_way
    jmp .ready
.command:
    mov rax, [pattern]
    mov [r14 + 0x800], rax                  ; DATA
    mov rax, target
    shr rax, 12
    mov rax, [r13 + rax * 8]
    shl rax, 12
    mov [r14 + 0x10], rax                   ; DST: the machine address
    mov dword [r14 + 0x18], 8               ; LEN
    mov dword [r14 + 0x1c], 2               ; CMD: write
.busy:
    mov eax, [r14 + 0x20]
    test al, 1
    jnz .busy
    mov dword [r14 + 0x20], 6
    test al, 4
    jz .written
    shr eax, 4
    and eax, 15
    cmp eax, 4                              ; no bus mastering yet
    jne blocked
    call give_way
    jmp .command
.written:
    mov rax, [pattern]
    cmp rax, [abs target]
    jne blocked
    mov rsi, good
    mov ecx, good_length
    jmp last_words
refused:
    mov rsi, no_mapping
    mov ecx, no_mapping_length
    jmp last_words
blocked:
    mov rsi, bad
    mov ecx, bad_length
last_words:
    call print
    mov edi, 2                              ; SCHEDOP_shutdown: poweroff
    mov rsi, reason
    call hypercalls + 32 * SCHED_OP
failed:
    ud2

give_way:                                   ; SCHEDOP_yield
    xor edi, edi
    xor esi, esi
    call hypercalls + 32 * SCHED_OP
    ret

; RSI, ECX: text. Returns when the console has taken it.
print:
    mov edx, [rbp + 3084]                   ; out_prod
.put:
    lodsb
    mov ebx, edx
    and ebx, 2047
    mov [rbp + 1024 + rbx], al
    inc edx
    loop .put
    mov [rbp + 3084], edx
    mov edi, 4                              ; EVTCHNOP_send
    mov rsi, port
    call hypercalls + 32 * EVENT_CHANNEL_OP
.wait:
    mov eax, [rbp + 3080]                   ; out_cons
    cmp eax, [rbp + 3084]
    je .taken
    call give_way
    jmp .wait
.taken:
    ret

align 8
pattern: db "DMA-DATA"
port: dd 0
reason: dd 0
hello: db "domU: a PV guest with a device", 10
hello_length equ $ - hello
good: db "domU: its device has written its memory", 10
good_length equ $ - good
bad: db "domU: its device did not reach its memory", 10
bad_length equ $ - bad
no_mapping: db "domU: its device cannot be mapped", 10
no_mapping_length equ $ - no_mapping
file_size equ $ - elf

absolute BASE + 0x1000
hypercalls: resb 0x1000
registers: resb 0x1000
target: resb 0x1000
    resb 0x1000
stack_top:
memory_size equ $ - BASE
