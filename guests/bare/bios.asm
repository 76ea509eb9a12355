; SPDX-License-Identifier: GPL-2.0-or-later
; NEEDS vitrine
; EXPECT exit 0
; EXPECT console "all services"
; The BIOS from real mode, service by service: what it knows is compared with what Multiboot has told, with the hardware behind it, and with how each interface
; says no.  IBM "PC/AT Technical Reference", "ROM BIOS"; ACPI "INT 15H, E820H - Query System Address Map"; PCI BIOS 2.1
        bits 32
        section .multiboot progbits alloc noexec nowrite align=4
        dd 0x1BADB002, 3, -(0x1BADB002 + 3)

LOW     equ 0x8000
%define o(x) ((x) - low_start)
%define low(x) ((x) - low_start + LOW)

        section .text
        global _start
_start: cli
        cld
        mov esp, stack_top
        mov esi, low_start
        mov edi, LOW
        mov ecx, low_end - low_start
        rep movsb
        mov eax, [ebx + 4]
        mov [low(lower)], eax
        mov eax, [ebx + 8]
        mov [low(upper)], eax
        mov ecx, [ebx + 44]
        mov esi, [ebx + 48]
        add ecx, esi
        mov edi, 0x20000
.entry: cmp esi, ecx
        jae .end
        mov edx, [esi]
        add esi, 4
        push ecx
        push esi
        mov ecx, 20 / 4
        rep movsd
        pop esi
        pop ecx
        add esi, edx
        inc dword [low(entries)]
        jmp .entry
.end:   lgdt [gdt_pointer]
        jmp 0x08:o(to_real)

        section .data
gdt:    dq 0, 0x00009a008000ffff, 0x000092000000ffff
gdt_pointer: dw 23
        dd gdt
        section .bss
        resb 4096
stack_top:

        section .low progbits alloc exec write align=16
low_start:
        bits 16
to_real equ low_start
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp LOW >> 4:o(.real)
.real:  lidt [cs:o(ivt_pointer)]
        xor ax, ax
        mov ss, ax
        mov sp, 0x7f00
        mov ax, cs
        mov ds, ax
        mov es, ax
        jmp tests

ivt_pointer: dw 0x3ff
        dd 0

putc:   push dx
        push ax
        mov dx, 0x3fd
.wait:  in al, dx
        test al, 0x20
        jz .wait
        pop ax
        mov dx, 0x3f8
        out dx, al
        pop dx
        ret
puts:   cs lodsb
        test al, al
        jz .end
        call putc
        jmp puts
.end:   ret
hex:    push ax                         ; AX
        push cx
        mov cx, 4
.digit: rol ax, 4
        push ax
        and al, 15
        cmp al, 10
        sbb al, 0x69
        das
        call putc
        pop ax
        loop .digit
        pop cx
        pop ax
        ret

%macro case 1
        mov si, o(%%name)
        jmp %%go
%%name: db %1, 0
%%go:   call begin
%endmacro
%macro bios 1
        int %1
        call keep
%endmacro
%macro want 3                           ; size, what, value
        cmp %1 [cs:o(%2)], %3
        je %%good
        call failed
%%good:
%endmacro
%macro want_carry 0
        test byte [cs:o(r_fl)], 1
        jnz %%good
        call failed
%%good:
%endmacro
%macro want_no_carry 0
        test byte [cs:o(r_fl)], 1
        jz %%good
        call failed
%%good:
%endmacro
%macro fine 1                           ; a condition
        j%1 %%good
        call failed
%%good:
%endmacro

keep:   mov [cs:o(r_ax)], eax
        mov [cs:o(r_bx)], ebx
        mov [cs:o(r_cx)], ecx
        mov [cs:o(r_dx)], edx
        mov [cs:o(r_di)], edi
        mov [cs:o(r_es)], es
        pushf
        pop word [cs:o(r_fl)]
        mov ax, cs
        mov ds, ax
        mov es, ax
        ret
; A case begins: SI its name. The registers are known ones.
begin:  push si
        call close
        pop si
        call puts
        xor eax, eax
        mov ebx, eax
        mov ecx, eax
        mov edx, eax
        mov esi, eax
        mov edi, eax
        mov ebp, eax
        ret
close:  cmp byte [cs:o(open)], 0
        mov byte [cs:o(open)], 1
        je .first
        mov si, o(ok_text)
        cmp byte [cs:o(this)], 0
        je .say
        inc word [cs:o(bad)]
        mov si, o(fail_text)
.say:   call puts
.first: mov byte [cs:o(this)], 0
        ret
failed: cmp byte [cs:o(this)], 0
        jne .known
        mov byte [cs:o(this)], 1
        pushad
        mov si, o(got_text)
        call puts
        mov ax, [cs:o(r_ax)]
        call hex
        mov al, ' '
        call putc
        mov ax, [cs:o(r_bx)]
        call hex
        mov al, ' '
        call putc
        mov ax, [cs:o(r_cx)]
        call hex
        mov al, ' '
        call putc
        mov ax, [cs:o(r_dx)]
        call hex
        mov al, ' '
        call putc
        mov ax, [cs:o(r_fl)]
        call hex
        popad
.known: ret
ok_text:   db ": ok", 13, 10, 0
fail_text: db ": FAIL", 13, 10, 0
got_text:  db " (AX BX CX DX flags ", 0
all_text:  db "all services", 13, 10, 0

tests:
        case "11h: equipment as in the data area, with a coprocessor"
        bios 0x11
        push 0x40
        pop fs
        mov ax, [fs:0x10]
        cmp ax, [o(r_ax)]
        fine e
        test ax, 2
        fine nz
        case "12h: base memory as Multiboot says"
        bios 0x12
        mov ax, [o(lower)]
        cmp ax, [o(r_ax)]
        fine e

        case "13h: no disk can be reset, read, asked for its parameters"
        mov dl, 0x80
        bios 0x13
        want_carry
        want byte, r_ax + 1, 1
        mov ax, 0x0201
        mov cx, 1
        mov dx, 0x80
        mov bx, 0x7000
        bios 0x13
        want_carry
        want byte, r_ax + 1, 1
        mov ah, 0x01
        mov dl, 0x80
        bios 0x13
        want_carry
        want byte, r_ax + 1, 1
        mov ah, 0x08
        mov dl, 0x80
        bios 0x13
        want_carry
        want byte, r_ax + 1, 7
        want byte, r_dx, 0
        case "13h: no diskette drives"
        bios 0x13
        want_no_carry
        want byte, r_ax + 1, 0
        mov ah, 0x08
        bios 0x13
        want_no_carry
        want byte, r_dx, 0
        want word, r_bx, 0
        case "13h: no type, no extensions, no EDD parameters"
        mov ah, 0x15
        mov dl, 0x80
        bios 0x13
        want_no_carry
        want byte, r_ax + 1, 0
        mov ah, 0x41
        mov bx, 0x55aa
        mov dl, 0x80
        bios 0x13
        want_carry
        want byte, r_ax + 1, 1
        want word, r_bx, 0x55aa
        mov ah, 0x48
        mov dl, 0x80
        mov si, 0x7000
        bios 0x13
        want_carry
        want byte, r_ax + 1, 1

        case "14h: a sent character, and the status of a free transmitter"
        mov ax, 0x0100 | '.'
        bios 0x14
        test byte [o(r_ax) + 1], 0x80
        fine z
        mov ah, 3
        bios 0x14
        test byte [o(r_ax) + 1], 0x60
        fine nz
        case "14h: setting up gives eight bits at 115200 baud's neighbour, 9600"
        mov ax, 0x00e3
        bios 0x14
        mov dx, 0x3fb
        in al, dx
        cmp al, 3
        fine e
        case "14h: a port that is not there is left alone"
        mov ax, 0x0177
        mov dx, 3
        bios 0x14
        want word, r_ax, 0x0177

        case "15h: E820h tells the map that Multiboot tells"
        xor ebx, ebx
        xor bp, bp                      ; entries
        push 0x2000
        pop gs
        xor si, si
.e820:  mov eax, 0xe820
        mov edx, 0x534d4150
        mov ecx, 24
        push cs
        pop es
        mov di, o(buffer)
        bios 0x15
        want_no_carry
        want dword, r_ax, 0x534d4150
        want dword, r_cx, 20
        mov di, o(buffer)
        mov cx, 10
.words: mov ax, [gs:si]
        cmp ax, [di]
        fine e
        add si, 2
        add di, 2
        loop .words
        inc bp
        cmp bp, 200
        ja .e820_end
        mov ebx, [o(r_bx)]
        test ebx, ebx
        jnz .e820
.e820_end:
        cmp bp, [o(entries)]
        fine e
        case "15h: E820h wants its signature, a place for 20 bytes and a continuation of its own"
        mov eax, 0xe820
        mov edx, 0x534d4151
        mov ecx, 20
        bios 0x15
        want_carry
        want byte, r_ax + 1, 0x86
        mov eax, 0xe820
        mov edx, 0x534d4150
        mov ecx, 19
        xor ebx, ebx
        bios 0x15
        want_carry
        want byte, r_ax + 1, 0x86
        mov eax, 0xe820
        mov edx, 0x534d4150
        mov ecx, 20
        mov ebx, [o(entries)]
        bios 0x15
        want_carry
        case "15h: E801h and 88h agree with Multiboot's upper memory"
        mov ax, 0xe801
        bios 0x15
        want_no_carry
        mov ax, [o(r_ax)]
        cmp ax, [o(r_cx)]
        fine e
        mov ax, [o(r_bx)]
        cmp ax, [o(r_dx)]
        fine e
        movzx eax, word [o(r_bx)]
        shl eax, 6
        movzx ecx, word [o(r_ax)]
        add eax, ecx
        mov ecx, [o(upper)]
        sub ecx, eax                    ; blocks of 64 KiB are cut off
        cmp ecx, 64
        fine b
        mov ah, 0x88
        bios 0x15
        want_no_carry
        movzx eax, word [o(r_ax)]
        cmp eax, [o(upper)]
        je .all_of_it
        cmp eax, 0xfc00
        fine e
.all_of_it:
        case "15h: A20 is on and stays so"
        mov ax, 0x2401
        bios 0x15
        want_no_carry
        want byte, r_ax + 1, 0
        mov ax, 0x2402
        bios 0x15
        want_no_carry
        want byte, r_ax, 1
        mov ax, 0x2403
        bios 0x15
        want_no_carry
        want word, r_bx, 3
        mov ax, 0x2400
        bios 0x15
        want_carry
        want byte, r_ax + 1, 0x86
        case "15h: the configuration of an AT, and the EBDA's segment"
        mov ah, 0xc0
        bios 0x15
        want_no_carry
        mov es, [o(r_es)]
        mov bx, [o(r_bx)]
        cmp byte [es:bx + 2], 0xfc
        fine e
        push 0x40
        pop fs
        mov ah, 0xc1
        bios 0x15
        mov ax, [fs:0x0e]
        test ax, ax
        jz .no_ebda
        want_no_carry
        cmp ax, [o(r_es)]
        fine e
.no_ebda:
        case "15h: 86h waits a millisecond"
        rdtsc
        mov [o(buffer)], eax
        mov ah, 0x86
        xor cx, cx
        mov dx, 1000
        bios 0x15
        want_no_carry
        rdtsc
        sub eax, [o(buffer)]
        cmp eax, 1000000                ; 1 GHz
        fine ae
        cmp eax, 1100000
        fine b
        case "15h: APM, IST, the target mode and the rest are not there"
        mov si, o(.missing)
.miss:  mov ax, [cs:si]
        test ax, ax
        jz .missed
        push si
        xor bx, bx
        bios 0x15
        pop si
        want_carry
        want byte, r_ax + 1, 0x86
        add si, 2
        jmp .miss
.missing: dw 0x5300, 0xe980, 0xec00, 0x8700, 0xd800, 0x0001, 0
.missed:
        case "15h: 4Fh lets every key through"
        mov ax, 0x4f1e
        bios 0x15
        want_carry
        want word, r_ax, 0x4f1e

        case "16h: no key, then the one that was put there, then none"
        mov ah, 1
        bios 0x16
        test byte [o(r_fl)], 0x40
        fine nz
        mov ah, 5
        mov cx, 0x1e61
        bios 0x16
        want byte, r_ax, 0
        mov ah, 0x11
        bios 0x16
        test byte [o(r_fl)], 0x40
        fine z
        want word, r_ax, 0x1e61
        mov ah, 0
        bios 0x16
        want word, r_ax, 0x1e61
        mov ah, 1
        bios 0x16
        test byte [o(r_fl)], 0x40
        fine nz
        case "16h: the buffer holds 15 keys in their order"
        mov bp, 15
.fill:  mov ah, 5
        mov cx, bp
        bios 0x16
        want byte, r_ax, 0
        dec bp
        jnz .fill
        mov ah, 5
        bios 0x16
        want byte, r_ax, 1
        mov bp, 15
.drain: mov ah, 0x10
        bios 0x16
        cmp [o(r_ax)], bp
        fine e
        dec bp
        jnz .drain
        case "16h: no shift key is held"
        mov ah, 2
        bios 0x16
        want byte, r_ax, 0
        case "17h: a printer that does not answer"
        bios 0x17
        want byte, r_ax + 1, 1

        case "1Ah: the tick goes on at 18.2 Hz"
        sti
        mov ah, 0
        bios 0x1a
        want_no_carry
        mov bp, [o(r_dx)]
.tick:  hlt
        mov ah, 0
        bios 0x1a
        mov ax, [o(r_dx)]
        sub ax, bp
        cmp ax, 1
        jb .tick
        rdtsc
        mov [o(buffer)], eax
.tick2: hlt
        mov ah, 0
        bios 0x1a
        mov ax, [o(r_dx)]
        sub ax, bp
        cmp ax, 3
        jb .tick2
        rdtsc
        sub eax, [o(buffer)]
        cmp eax, 109000000              ; two of 54.925 ms
        fine a
        cmp eax, 111000000
        fine b
        cli
        case "1Ah: ticks begin at the clock's time of day, and can be set"
        mov ah, 2
        bios 0x1a
        want_no_carry
        mov al, [o(r_cx) + 1]           ; hours, BCD
        call binary
        imul bx, ax, 60
        mov al, [o(r_cx)]
        call binary
        add bx, ax
        movzx ebx, bx
        imul ebx, 60
        mov al, [o(r_dx) + 1]
        call binary
        movzx eax, ax
        add eax, ebx                    ; seconds
        imul eax, 1193
        shr eax, 16                     ; thousands of ticks are near enough
        mov bp, ax
        mov ah, 0
        bios 0x1a
        movzx eax, word [o(r_cx)]
        shl eax, 16
        mov ax, [o(r_dx)]
        xor edx, edx
        mov ecx, 1000
        div ecx
        sub ax, bp
        inc ax
        cmp ax, 2
        fine be
        mov ah, 1
        mov cx, 0x0012
        mov dx, 0x3456
        bios 0x1a
        mov ah, 0
        bios 0x1a
        want word, r_cx, 0x0012
        want word, r_dx, 0x3456
        case "1Ah: date and time are the CMOS clock's, and can be set"
        mov ah, 4
        bios 0x1a
        want_no_carry
        want word, r_cx, 0x2024
        want word, r_dx, 0x0101
        mov ah, 5
        mov cx, 0x2031
        mov dx, 0x1230
        bios 0x1a
        mov ah, 3
        mov cx, 0x2158
        mov dx, 0x0700
        bios 0x1a
        mov ah, 4
        bios 0x1a
        want word, r_cx, 0x2031
        want word, r_dx, 0x1230
        mov ah, 2
        bios 0x1a
        want word, r_cx, 0x2158
        want word, r_dx, 0x0700
        case "1Ah: no alarm"
        mov ah, 6
        bios 0x1a
        want_carry

        case "1Ah: the PCI BIOS is there"
        mov ax, 0xb101
        bios 0x1a
        want_no_carry
        want dword, r_dx, 0x20494350
        want word, r_ax, 1
        want word, r_bx, 0x0210
        case "1Ah: a function is found by its identity and by its class"
        mov ax, 0xb10a                  ; who is at 00:00.0?
        bios 0x1a
        want_no_carry
        mov eax, [o(r_cx)]
        mov dx, ax
        shr eax, 16
        mov cx, ax
        mov ax, 0xb102
        xor si, si
        mov bx, 0xffff
        bios 0x1a
        want_no_carry
        want word, r_bx, 0
        mov ax, 0xb103
        mov ecx, 0x060100               ; the ISA bridge
        xor si, si
        bios 0x1a
        want_no_carry
        want word, r_bx, 0xf8
        mov ax, 0xb103
        mov ecx, 0x060100
        mov si, 1                       ; the second one
        bios 0x1a
        want_carry
        want byte, r_ax + 1, 0x86
        mov ax, 0xb102
        mov dx, 0xffff
        xor si, si
        bios 0x1a
        want_carry
        want byte, r_ax + 1, 0x83
        case "1Ah: bytes, words and doublewords of a configuration space"
        mov ax, 0xb10a
        xor bx, bx
        mov di, 0
        bios 0x1a
        mov ebp, [o(r_cx)]
        mov ax, 0xb109
        mov di, 2
        bios 0x1a
        want_no_carry
        mov eax, ebp
        shr eax, 16
        cmp ax, [o(r_cx)]
        fine e
        mov ax, 0xb108
        mov di, 1
        bios 0x1a
        mov ax, bp
        cmp ah, [o(r_cx)]
        fine e
        mov ax, 0xb10b                  ; interrupt line: only software looks at it
        mov bx, 0x20
        mov di, 0x3c
        mov cl, 0x5a
        bios 0x1a
        want_no_carry
        mov ax, 0xb108
        mov bx, 0x20
        xor cx, cx
        bios 0x1a
        want byte, r_cx, 0x5a
        mov ax, 0xb109
        mov bx, 0xf8
        mov di, 3
        bios 0x1a
        want_carry
        want byte, r_ax + 1, 0x87
        mov ax, 0xb10a
        mov di, 0x100
        bios 0x1a
        want_carry
        want byte, r_ax + 1, 0x87
        mov ax, 0xb10e
        bios 0x1a
        want_carry
        want byte, r_ax + 1, 0x81

        mov ax, 0x1a00
        int 0x10
        cmp al, 0x1a
        je display
        case "10h: without a display nobody answers"
        mov ax, 0x1a00
        bios 0x10
        want word, r_ax, 0x1a00
        mov ax, 0x0e41
        bios 0x10
        want word, r_ax, 0x0e41
        jmp keys

display:
        case "10h: a VGA with colours in mode 3, 80 columns, 16 lines a character, no fonts, no VESA"
        mov ax, 0x1a00
        bios 0x10
        want word, r_bx, 0x0008
        mov ah, 0x12
        mov bl, 0x10
        bios 0x10
        want word, r_bx, 0x0003
        mov ax, 0x1130
        bios 0x10
        want word, r_cx, 16
        want byte, r_dx, 24
        mov ax, 0x4f00
        bios 0x10
        want word, r_ax, 0x4f00
        mov ah, 0x0f
        bios 0x10
        want word, r_ax, 0x5003
        want byte, r_bx + 1, 0
        case "10h: setting mode 3 clears the screen, mode 13h is not set"
        push 0xb800
        pop fs
        mov word [fs:100], 0x1234
        mov ax, 0x0013
        bios 0x10
        cmp word [fs:100], 0x1234
        fine e
        mov ax, 0x0083                  ; and with bit 7 nothing is cleared
        bios 0x10
        cmp word [fs:100], 0x1234
        fine e
        mov ax, 0x0003
        bios 0x10
        cmp word [fs:100], 0x0720
        fine e
        mov ah, 0x0f
        bios 0x10
        want word, r_ax, 0x5003
        mov dx, 0x3c7                   ; brown has less green than it could
        mov al, 0x14
        out dx, al
        mov dx, 0x3c9
        in al, dx
        cmp al, 0x2a
        fine e
        in al, dx
        cmp al, 0x15
        fine e
        case "10h: the cursor is where it was put, in the hardware, too, and has its shape"
        mov ah, 2
        mov bh, 0
        mov dx, 0x0305
        bios 0x10
        mov ah, 1
        mov cx, 0x0203
        bios 0x10
        mov ah, 3
        bios 0x10
        want word, r_dx, 0x0305
        want word, r_cx, 0x0203
        mov al, 0x0f
        call crtc
        cmp al, 3 * 80 + 5
        fine e
        mov al, 0x0a
        call crtc
        cmp al, 4
        fine e
        case "10h: characters with and without attributes, read back"
        mov ax, 0x0941
        mov bx, 0x001e
        mov cx, 3
        bios 0x10
        cmp word [fs:2 * (3 * 80 + 5)], 0x1e41
        fine e
        cmp word [fs:2 * (3 * 80 + 7)], 0x1e41
        fine e
        cmp word [fs:2 * (3 * 80 + 8)], 0x0720
        fine e
        mov ax, 0x0a42
        xor bx, bx
        mov cx, 1
        bios 0x10
        mov ah, 8
        bios 0x10
        want word, r_ax, 0x1e42
        case "10h: teletype moves on, breaks lines, goes back and scrolls"
        mov ax, 0x0e43
        bios 0x10
        mov ax, 0x0e0d
        bios 0x10
        mov ax, 0x0e0a
        bios 0x10
        mov ax, 0x0e44
        bios 0x10
        mov ax, 0x0e08
        bios 0x10
        mov ah, 3
        bios 0x10
        want word, r_dx, 0x0400
        cmp word [fs:2 * (3 * 80 + 5)], 0x1e43
        fine e
        cmp word [fs:2 * (4 * 80)], 0x0744
        fine e
        mov ah, 2
        mov dx, 0x184f
        bios 0x10
        mov ax, 0x0e45                  ; the last place: the screen goes up
        bios 0x10
        mov ah, 3
        bios 0x10
        want word, r_dx, 0x1800
        cmp word [fs:2 * (2 * 80 + 5)], 0x1e43
        fine e
        cmp word [fs:2 * (23 * 80 + 79)], 0x0745
        fine e
        cmp word [fs:2 * (24 * 80)], 0x0720
        fine e
        case "10h: a window scrolls up and down and stays in its frame"
        mov ax, 0x0701                  ; down
        mov bh, 0x2f
        mov cx, 0x0205
        mov dx, 0x0306
        bios 0x10
        cmp word [fs:2 * (3 * 80 + 5)], 0x1e43
        fine e
        cmp word [fs:2 * (2 * 80 + 5)], 0x2f20
        fine e
        cmp word [fs:2 * (2 * 80 + 7)], 0x1e41
        fine e
        mov ax, 0x0600                  ; clear it
        mov bh, 0x3f
        mov cx, 0x0205
        mov dx, 0x0306
        bios 0x10
        cmp word [fs:2 * (3 * 80 + 6)], 0x3f20
        fine e
        cmp word [fs:2 * (3 * 80 + 7)], 0x0720
        fine e
        case "10h: a string with attributes, the cursor left alone or taken along"
        mov ax, 0x1300
        mov bx, 0x004e
        mov cx, 4
        mov dx, 0x0510
        mov bp, o(.string)
        bios 0x10
        cmp dword [fs:2 * (5 * 80 + 16)], 0x4e624e61
        fine e
        mov ah, 3
        bios 0x10
        want word, r_dx, 0x1800
        mov ax, 0x1303
        xor bx, bx
        mov cx, 2
        mov dx, 0x0610
        mov bp, o(.string)
        bios 0x10
        cmp dword [fs:2 * (6 * 80 + 16)], 0x64636261
        fine e
        mov ah, 3
        bios 0x10
        want word, r_dx, 0x0612
        jmp .pages
.string: db "abcd"
.pages: case "10h: pages have memory and a cursor each"
        mov ax, 0x0501
        bios 0x10
        mov ah, 0x0f
        bios 0x10
        want byte, r_bx + 1, 1
        mov ax, 0x0e46
        bios 0x10
        cmp word [fs:0x1000], 0x0746
        fine e
        mov al, 0x0d
        call crtc
        cmp al, 0
        fine e
        mov al, 0x0c
        call crtc
        cmp al, 0x08
        fine e
        mov ax, 0x0500
        bios 0x10
        mov ah, 3
        xor bx, bx
        bios 0x10
        want word, r_dx, 0x0612
        case "10h: colours: the border, the palette, blinking or bright backgrounds, the DAC"
        mov ax, 0x1000
        mov bx, 0x2a05
        bios 0x10
        mov ax, 0x1007
        mov bl, 5
        bios 0x10
        want byte, r_bx + 1, 0x2a
        mov ax, 0x1003
        xor bx, bx
        bios 0x10
        mov ax, 0x1007
        mov bl, 0x10
        bios 0x10
        want byte, r_bx + 1, 0x04
        mov ax, 0x1010
        mov bx, 0x2a
        mov dh, 0x11
        mov cx, 0x2233
        bios 0x10
        mov ax, 0x1015
        mov bx, 0x2a
        bios 0x10
        want word, r_cx, 0x2233
        want byte, r_dx + 1, 0x11
        mov ah, 0x0b
        mov bx, 0x0007
        bios 0x10
        mov ax, 0x1007
        mov bl, 0x11
        bios 0x10
        want byte, r_bx + 1, 0x07
        jmp keys

crtc:   mov dx, 0x3d4
        out dx, al
        inc dx
        in al, dx
        ret

keys:   in al, 0x64
        cmp al, 0xff
        je .none
        case "16h: scan codes become characters, with the shift keys that are held"
        mov si, o(.codes)
.code:  mov ah, [cs:si]
        inc si
        test ah, ah
        jz .sent
        mov al, 0xd2                    ; as if the keyboard had sent it
        out 0x64, al
        mov al, ah
        out 0x60, al
        push si
        mov ah, 1
        bios 0x16
        pop si
        jmp .code
.codes: db 0x1e, 0x9e, 0x2a, 0x1e, 0x9e, 0xaa, 0x3a, 0xba, 0x1e, 0x9e, 0x3a, 0xba, 0x1d, 0x2e, 0xae, 0x9d, 0x38, 0x10, 0x90, 0xb8, 0x3b, 0xbb
        db 0xe0, 0x48, 0xe0, 0xc8, 0x1c, 0x9c, 0x36, 0
.sent:  mov bp, o(.keys)
.key:   mov bx, [cs:bp]
        test bx, bx
        jz .all
        mov ah, 0
        push bx
        bios 0x16
        pop bx
        cmp bx, [o(r_ax)]
        fine e
        add bp, 2
        jmp .key
.keys:  dw 0x1e61, 0x1e41, 0x1e41, 0x2e03, 0x1000, 0x3b00, 0x4800, 0x1c0d, 0
.all:   mov ah, 2
        bios 0x16
        want byte, r_ax, 1              ; the right shift key is still down
        case "16h: the keyboard is one of 101 keys and takes its repeat rate"
        mov ah, 0x0a
        bios 0x16
        want word, r_bx, 0x83ab
        mov ah, 9
        bios 0x16
        want byte, r_ax, 0x28
        mov ax, 0x0305
        mov bx, 0x0102
        bios 0x16
        in al, 0x64
        test al, 1                      ; nothing is left over
        fine z
.none:

        case "every other vector comes back"
        int 0x05
        int 0x1c
        int 0x40
        int 0xff
        call close
        mov si, o(all_text)
        cmp word [o(bad)], 0
        jne .some
        call puts
.some:  mov ax, [o(bad)]
        out 0xf4, al
        cli
        hlt

binary: push bx                         ; AL in BCD -> AX
        mov bl, al
        shr al, 4
        mov ah, 10
        mul ah
        and bl, 15
        add al, bl
        xor ah, ah
        pop bx
        ret
        align 4096                      ; apart from the code, which would be decoded again after every store
lower:  dd 0
upper:  dd 0
entries: dd 0
bad:    dw 0                            ; cases that failed
this:   db 0                            ; this one did
; what the last call has left
r_ax:   dd 0
r_bx:   dd 0
r_cx:   dd 0
r_dx:   dd 0
r_di:   dd 0
r_es:   dw 0
r_fl:   dw 0
open:   db 0
        align 4
buffer: times 32 db 0
low_end:
