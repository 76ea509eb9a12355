// SPDX-License-Identifier: GPL-2.0-or-later
// Multiboot 1 header, entry in 32-bit protected mode, and on to rt_start in the build's mode; trap entries.
        .section .multiboot, "a"
        .balign 4
        .long   0x1BADB002, 0x3, -(0x1BADB002 + 0x3)

        .section .text.start, "ax"
        .code32
        .globl  _start
_start: cli
        cld
        mov     %eax, rt_boot_magic
        mov     %ebx, rt_boot_info
        mov     $rt_stack_top, %esp
        lgdt    rt_gdt_pointer
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %fs
        mov     %ecx, %gs
        mov     %ecx, %ss
        ljmp    $0x08, $1f
1:      xor     %eax, %eax
        mov     $rt_bss_start, %edi
        mov     $rt_bss_end, %ecx
        sub     %edi, %ecx
        rep     stosb
        mov     %cr0, %eax
        and     $~0x60000004, %eax              // no EM, caches on
        or      $0x22, %eax                     // MP, NE
        mov     %eax, %cr0
        mov     %cr4, %eax
        or      $0x600, %eax                    // OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
#ifdef __x86_64__
        // identity map of 4 GiB by 2 MiB pages
        mov     $rt_pml4, %edi
        mov     $rt_pdpt + 0x7, %eax
        mov     %eax, (%edi)
        mov     $rt_pdpt, %edi
        mov     $rt_pd + 0x7, %eax
        mov     $4, %ecx
1:      mov     %eax, (%edi)
        add     $0x1000, %eax
        add     $8, %edi
        loop    1b
        mov     $rt_pd, %edi
        mov     $0x87, %eax
        mov     $2048, %ecx
1:      mov     %eax, (%edi)
        add     $0x200000, %eax
        add     $8, %edi
        loop    1b
        .globl  rt_enter_long
rt_enter_long:                                  // processors other than the first come here too, with their stack in esp
        mov     %cr4, %eax
        or      $0x620, %eax                    // PAE, OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
        mov     $rt_pml4, %eax
        mov     %eax, %cr3
        mov     $0xC0000080, %ecx
        rdmsr
        or      $0x900, %eax                    // NXE, LME
        wrmsr
        mov     %cr0, %eax
        and     $~0x60000004, %eax
        or      $0x80010022, %eax               // PG, WP, NE, MP
        mov     %eax, %cr0
        ljmp    $0x18, $1f
        .code64
1:      mov     $0x20, %eax
        mov     %eax, %ss
        mov     %eax, %ds
        mov     %eax, %es
        mov     %esp, %esp
        xor     %ebp, %ebp
        cmpl    $0, rt_ap_entry
        jne     2f
        call    rt_start
2:      mov     rt_ap_entry, %eax
        call    *%rax
3:      hlt
        jmp     3b
#else
        xor     %ebp, %ebp
        call    rt_start
3:      hlt
        jmp     3b
#endif

// ---- trap entries: 256 of them, each 16 bytes ----
        .text
        .balign 16
        .globl  rt_trap_entries
rt_trap_entries:
        vec = 0
        .rept   256
        .balign 16
        .if (vec == 8) || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21
        .else
        push    $0
        .endif
        push    $vec
        jmp     rt_trap_common
        vec = vec + 1
        .endr

#ifdef __x86_64__
rt_trap_common:
        push    %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi
        push    %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbp
        and     $-16, %rsp
        call    rt_trap
        mov     %rbp, %rsp
        pop     %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8
        pop     %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax
        add     $16, %rsp
        iretq
        .globl  rt_call_user_at                 // (ip, cs, sp, ss, flags): leaves at CPL 3, comes back as int 0x80 or a fault caught
rt_call_user_at:
        push    %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
        mov     %rsp, rt_user_return_sp
        push    %rcx
        push    %rdx
        push    %r8
        push    %rsi
        push    %rdi
        iretq
        .globl  rt_user_back
rt_user_back:                                   // on rt_user_return_sp
        pop     %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
        ret
#else
rt_trap_common:
        pusha
        cld
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %esp, %ebp
        push    %ebp
        call    rt_trap
        mov     %ebp, %esp
        popa
        add     $8, %esp
        iret
        .globl  rt_resume32                     // (frame): takes its registers and goes on at rt_resume_ip, whatever the stack was
rt_resume32:
        mov     4(%esp), %esp
        mov     $0x10, %eax
        mov     %eax, %ss
        mov     %eax, %ds
        mov     %eax, %es
        popa
        mov     rt_resume_sp, %esp
        jmp     *rt_resume_ip
        .globl  rt_call_user_at
rt_call_user_at:
        push    %ebx; push %ebp; push %esi; push %edi
        mov     %esp, rt_user_return_sp
        mov     32(%esp), %eax                  // ss
        mov     28(%esp), %ecx                  // sp
        mov     36(%esp), %edx                  // flags
        mov     24(%esp), %esi                  // cs
        mov     20(%esp), %edi                  // ip
        push    %eax
        push    %ecx
        push    %edx
        push    %esi
        push    %edi
        mov     %eax, %ds
        mov     %eax, %es
        iret
        .globl  rt_user_back
rt_user_back:
        mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        pop     %edi; pop %esi; pop %ebp; pop %ebx
        ret
#endif

        .data
        .balign 16
        .globl  rt_gdt_pointer
rt_gdt_pointer:
        .word   64 * 8 - 1
        .long   rt_gdt
        .long   0
        .globl  rt_boot_magic, rt_boot_info, rt_ap_entry
rt_boot_magic: .long 0
rt_boot_info:  .long 0
rt_ap_entry:   .long 0

        .bss
        .balign 4096
        .globl  rt_pml4, rt_pdpt, rt_pd, rt_stack_top
#ifdef __x86_64__
rt_pml4: .skip  4096
rt_pdpt: .skip  4096
rt_pd:  .skip   4 * 4096
#endif

        .section .stack, "aw", @nobits          // not cleared: it is in use while .bss is
        .balign 4096
        .skip   64 * 1024
rt_stack_top:
        .section .note.GNU-stack, "", @progbits
