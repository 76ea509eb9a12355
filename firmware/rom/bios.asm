; SPDX-License-Identifier: GPL-2.0-or-later
; The 16-bit BIOS: 32 KiB at F000:8000, assembled at build time. What depends on the platform stands in the block at its beginning, which
; firmware/bios.cpp fills in. Kernels are entered directly, so there is no power-on test here: vectors and data area are ready when one begins.
; Services are those of the IBM PC/AT's BIOS with what came later; who asks is never looked at. What is not there answers as its interface
; defines it: CF and AH = 86h for INT 15h, AH = 01h for INT 13h, AH = 81h for the PCI BIOS, unchanged registers for INT 10h and INT 16h.
; IBM "PC/AT Technical Reference", "ROM BIOS"; ACPI "INT 15H, E820H - Query System Address Map"; PCI BIOS 2.1; Phoenix "BIOS Enhanced Disk Drive"
        bits 16
        cpu 486
        org 0x8000

BASE    equ 0x8000
; ---- the block that the platform fills in (firmware/bios.cpp knows the offsets) ----
rom_vectors:  dw vectors
map_count:    dw 0                      ; entries of the memory map
ext_88:       dw 0                      ; KiB from 1 MiB, for AH = 88h
ext_e801_lo:  dw 0                      ; KiB from 1 to 16 MiB
ext_e801_hi:  dw 0                      ; 64 KiB blocks from 16 MiB
last_bus:     dw 0
has_keyboard: dw 0                      ; a keyboard controller is there
        times 32 - ($ - $$) db 0
MAP_MOST equ 128
MAP_ENTRY equ 20
map:    times MAP_MOST * MAP_ENTRY db 0

; Vectors 0 to 77h, as offsets in this segment. The IRET that others point to is where PCs have it, which software has come to know.
DUMMY equ 0xff53
vectors:
        times 8 dw DUMMY                ; processor exceptions, print screen
        dw int08, int09
        times 6 dw irq_master
        dw int10, int11, int12, int13, int14, int15, int16, int17
        dw int18, int18, int1a, DUMMY, DUMMY, DUMMY, DUMMY, DUMMY
        times 0x70 - 0x20 dw DUMMY
        times 5 dw irq_slave
        dw irq_fpu
        times 2 dw irq_slave
VECTORS equ ($ - vectors) / 2
        %if VECTORS != 0x78
          %error "the table of vectors has not 78h entries"
        %endif

; ---- frame of a service: registers as the caller has them, answers are written there ----
%define c_edi  bp + 0
%define c_esi  bp + 4
%define c_ebp  bp + 8
%define c_ebx  bp + 16
%define c_edx  bp + 20
%define c_ecx  bp + 24
%define c_eax  bp + 28
%define c_es   bp + 32
%define c_ds   bp + 34
%define c_fl   bp + 40
%define c_ax   c_eax
%define c_bx   c_ebx
%define c_cx   c_ecx
%define c_dx   c_edx
%define c_al   c_eax
%define c_ah   c_eax + 1
%define c_bl   c_ebx
%define c_bh   c_ebx + 1
%define c_cl   c_ecx
%define c_ch   c_ecx + 1
%define c_dl   c_edx
%define c_dh   c_edx + 1
%macro service 0
        push ds
        push es
        pushad
        mov bp, sp
        cld
        push 0x40
        pop ds                          ; the data area
%endmacro
BDA_COM      equ 0x00
BDA_EBDA     equ 0x0e
BDA_EQUIP    equ 0x10
BDA_MEMORY   equ 0x13
BDA_SHIFT    equ 0x17
BDA_HEAD     equ 0x1a
BDA_TAIL     equ 0x1c
BDA_FDSTATUS equ 0x41
BDA_MODE     equ 0x49
BDA_COLUMNS  equ 0x4a
BDA_PAGESIZE equ 0x4c
BDA_START    equ 0x4e
BDA_CURSOR   equ 0x50
BDA_SHAPE    equ 0x60
BDA_PAGE     equ 0x62
BDA_CRTC     equ 0x63
BDA_TICKS    equ 0x6c
BDA_MIDNIGHT equ 0x70
BDA_HDSTATUS equ 0x74
BDA_KBEGIN   equ 0x80
BDA_KEND     equ 0x82
BDA_ROWS     equ 0x84
BDA_POINTS   equ 0x85
BDA_KFLAGS   equ 0x96                   ; bit 1: the last byte was E0
BDA_OURS     equ 0xac                   ; reserved bytes of the area: bit 0: the tick has been set going

fail_86:                                ; INT 15h: no such function
        mov byte [c_ah], 0x86
fail:   or byte [c_fl], 1
        jmp done
ok_ah:  mov byte [c_ah], 0
ok:     and byte [c_fl], ~1
done:   popad
        pop es
        pop ds
        iret

; ---- hardware interrupts ----
int08:  push ds
        push eax
        push 0x40
        pop ds
        inc dword [BDA_TICKS]
        cmp dword [BDA_TICKS], 0x1800b0 ; ticks of a day
        jb .day
        mov dword [BDA_TICKS], 0
        mov byte [BDA_MIDNIGHT], 1
.day:   int 0x1c
        mov al, 0x20
        out 0x20, al
        pop eax
        pop ds
        iret

int09:  push ds
        pushad
        cld
        push 0x40
        pop ds
        call take_key
        mov al, 0x20
        out 0x20, al
        popad
        pop ds
        iret

irq_fpu:                                ; IRQ13: the coprocessor's errors come as NMI on the first PC
        push ax
        xor al, al
        out 0xf0, al
        mov al, 0x20
        out 0xa0, al
        out 0x20, al
        pop ax
        int 2
        iret
irq_slave:
        push ax
        mov al, 0x20
        out 0xa0, al
        out 0x20, al
        pop ax
        iret
irq_master:
        push ax
        mov al, 0x20
        out 0x20, al
        pop ax
        iret

; Controllers and tick as a BIOS leaves them: vectors 8 and 70h, inputs of the timer, the keyboard and the slave open, 18.2 Hz. Done for
; the first one who asks for the tick; others would only be woken by it.
start_tick:
        test byte [BDA_OURS], 1
        jnz .done
        or byte [BDA_OURS], 1
        mov al, 0x11
        out 0x20, al
        out 0xa0, al
        mov al, 0x08
        out 0x21, al
        mov al, 0x70
        out 0xa1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xa1, al
        mov al, 1
        out 0x21, al
        out 0xa1, al
        mov al, 0xb8
        out 0x21, al
        mov al, 0xff
        out 0xa1, al
        mov al, 0x34                    ; counter 0, rate generator, 65536
        out 0x43, al
        xor al, al
        out 0x40, al
        out 0x40, al
.done:  ret

; ---- INT 11h equipment, INT 12h memory ----
int11:  push ds
        push 0x40
        pop ds
        mov ax, [BDA_EQUIP]
        pop ds
        iret
int12:  push ds
        push 0x40
        pop ds
        mov ax, [BDA_MEMORY]
        pop ds
        iret

; ---- INT 13h: there are no drives ----
int13:  service
        mov ah, [c_ah]
        cmp ah, 0x01
        je .status
        cmp ah, 0x08
        je .parameters
        cmp ah, 0x15
        je .type
        cmp ah, 0x00
        je .reset
.none:  mov al, 0x01                    ; invalid function or parameter: no such drive
.error: mov [c_ah], al
        test byte [c_dl], 0x80
        jnz .hard
        mov [BDA_FDSTATUS], al
        jmp fail
.hard:  mov [BDA_HDSTATUS], al
        jmp fail
.reset: test byte [c_dl], 0x80
        jnz .none
        mov byte [BDA_FDSTATUS], 0      ; resetting the diskette system needs no drive
        jmp ok_ah
.status:
        mov al, [BDA_FDSTATUS]
        test byte [c_dl], 0x80
        jz .told
        mov al, [BDA_HDSTATUS]
.told:  mov [c_ah], al
        test al, al
        jz ok
        jmp fail
.parameters:
        mov dl, [c_dl]
        mov word [c_ax], 0
        mov word [c_cx], 0
        mov word [c_dx], 0              ; DL: number of drives
        mov al, 0x07                    ; parameters of a drive that is not there
        test dl, 0x80
        jnz .no_disk
        mov word [c_bx], 0              ; no diskette drives is an answer
        mov word [c_edi], 0
        mov word [c_es], 0
        jmp ok
.no_disk:
        mov [BDA_HDSTATUS], al
        mov [c_ah], al
        jmp fail
.type:  mov byte [c_ah], 0              ; no drive present
        jmp ok

; ---- INT 14h: serial ports, by the addresses in the data area ----
int14:  service
        mov bx, [c_dx]
        cmp bx, 3
        ja done
        add bx, bx
        mov dx, [BDA_COM + bx]
        test dx, dx
        jz done
        mov ah, [c_ah]
        cmp ah, 3
        ja done
        je .status
        cmp ah, 1
        je .send
        ja .receive
        mov bl, [c_al]                  ; set up: 7:5 rate, 4:3 parity, 2 stop bits, 1:0 length
        add dx, 3
        mov al, 0x80
        out dx, al
        movzx si, bl
        shr si, 5
        add si, si
        mov ax, [cs:divisors + si]
        sub dx, 3
        out dx, al
        inc dx
        mov al, ah
        out dx, al
        add dx, 2
        mov al, bl
        and al, 0x1f
        out dx, al
        sub dx, 2
        xor al, al
        out dx, al
        dec dx
        jmp .status
.send:  add dx, 5
        xor ecx, ecx
.full:  in al, dx
        test al, 0x20
        jnz .empty
        loop .full
        or al, 0x80                     ; timed out
        mov [c_ah], al
        jmp done
.empty: mov [c_ah], al
        sub dx, 5
        mov al, [c_al]
        out dx, al
        jmp done
.receive:
        add dx, 5
        xor ecx, ecx
.wait:  in al, dx
        test al, 1
        jnz .there
        loop .wait
        mov byte [c_ah], 0x80
        jmp done
.there: and al, 0x1e
        mov [c_ah], al
        sub dx, 5
        in al, dx
        mov [c_al], al
        jmp done
.status:
        add dx, 5
        in al, dx
        mov [c_ah], al
        inc dx
        in al, dx
        mov [c_al], al
        jmp done
divisors: dw 1047, 768, 384, 192, 96, 48, 24, 12

; ---- INT 15h ----
int15:  cmp ah, 0x4f                    ; keyboard intercept: the key is taken as it is
        je .intercept
        service
        mov ax, [c_ax]
        cmp ax, 0xe820
        je .e820
        cmp ax, 0xe801
        je .e801
        cmp ah, 0x88
        je .ext88
        cmp ah, 0x24
        je .a20
        cmp ah, 0x86
        je .wait
        cmp ah, 0xc0
        je .config
        cmp ah, 0xc1
        je .ebda
        cmp ah, 0x85                    ; SysReq key, device busy, device ready: hooks
        je ok_ah
        cmp ah, 0x90
        je ok_ah
        cmp ah, 0x91
        je ok_ah
        jmp fail_86
.intercept:
        push bp
        mov bp, sp
        or byte [bp + 6], 1
        pop bp
        iret

.e820:  cmp dword [c_edx], 0x534d4150   ; "SMAP"
        jne fail_86
        cmp dword [c_ecx], MAP_ENTRY
        jb fail_86
        mov ebx, [c_ebx]
        movzx eax, word [cs:map_count]
        cmp ebx, eax
        jae fail_86
        imul si, bx, MAP_ENTRY
        add si, map
        mov di, [c_edi]
        mov cx, MAP_ENTRY / 2
.copy:  mov dx, [cs:si]                 ; ES is the caller's
        mov [es:di], dx
        add si, 2
        add di, 2
        loop .copy
        inc ebx
        cmp ebx, eax
        jb .more
        xor ebx, ebx
.more:  mov [c_ebx], ebx
        mov dword [c_ecx], MAP_ENTRY
        mov dword [c_eax], 0x534d4150
        jmp ok
.e801:  mov ax, [cs:ext_e801_lo]
        mov [c_ax], ax
        mov [c_cx], ax
        mov ax, [cs:ext_e801_hi]
        mov [c_bx], ax
        mov [c_dx], ax
        jmp ok
.ext88: mov ax, [cs:ext_88]
        mov [c_ax], ax
        jmp ok
.a20:   cmp al, 1                       ; on: it is always
        je ok_ah
        cmp al, 2
        je .a20_state
        cmp al, 3
        jne fail_86
        mov word [c_bx], 3              ; the keyboard controller and port 92h take commands
        jmp ok_ah
.a20_state:
        mov byte [c_al], 1
        jmp ok_ah
.config:
        mov word [c_es], cs
        mov word [c_bx], configuration
        jmp ok_ah
.ebda:  mov ax, [BDA_EBDA]
        test ax, ax
        jz fail_86
        mov [c_es], ax
        jmp ok
; CX:DX microseconds by the refresh toggle of port 61h, 15.085 us each.
.wait:  mov cx, [c_cx]
        mov dx, [c_dx]
        movzx eax, cx
        shl eax, 16
        mov ax, dx
        xor edx, edx
        mov ecx, 15
        div ecx
        lea ecx, [eax + 1]
        in al, 0x61
        and al, 0x10
        mov ah, al
.toggle:
        in al, 0x61
        and al, 0x10
        cmp al, ah
        je .toggle
        mov ah, al
        dec ecx
        jnz .toggle
        jmp ok_ah
configuration:                          ; "Return System Configuration Parameters"
        dw 8
        db 0xfc, 1, 0                   ; AT, submodel, revision
        db 0x74                         ; second 8259, clock, keyboard intercept, EBDA
        db 0x40, 0, 0, 0                ; INT 16h, AH = 09h

; ---- INT 17h: no printer ----
int17:  mov ah, 0x01                    ; timed out
        iret

; ---- INT 18h, 19h: there is nothing to boot from ----
int18:  sti
        hlt
        jmp int18

; ---- INT 1Ah: clock, PCI BIOS ----
int1a:  service
        mov ah, [c_ah]
        cmp ah, 0xb1
        je pci_bios
        cmp ah, 5
        ja .none
        movzx si, ah
        add si, si
        jmp [cs:.table + si]
.none:  jmp fail
.table: dw .ticks, .set_ticks, .time, .set_time, .date, .set_date
.ticks: call start_tick
        sti                             ; one that is due
        nop
        cli
        mov eax, [BDA_TICKS]
        mov [c_dx], ax
        shr eax, 16
        mov [c_cx], ax
        mov al, [BDA_MIDNIGHT]
        mov byte [BDA_MIDNIGHT], 0
        mov [c_al], al
        mov byte [c_ah], 0
        jmp ok
.set_ticks:
        call start_tick
        mov ax, [c_cx]
        shl eax, 16
        mov ax, [c_dx]
        mov [BDA_TICKS], eax
        mov byte [BDA_MIDNIGHT], 0
        jmp ok_ah
.time:  call clock_ready
        mov al, 0x00
        call cmos
        mov [c_dh], al
        mov al, 0x02
        call cmos
        mov [c_cl], al
        mov al, 0x04
        call cmos
        mov [c_ch], al
        mov al, 0x0b
        call cmos
        and al, 1                       ; daylight saving
        mov [c_dl], al
        jmp ok_ah
.date:  call clock_ready
        mov al, 0x07
        call cmos
        mov [c_dl], al
        mov al, 0x08
        call cmos
        mov [c_dh], al
        mov al, 0x09
        call cmos
        mov [c_cl], al
        mov al, 0x32
        call cmos
        mov [c_ch], al
        jmp ok_ah
.set_time:
        call clock_stop
        mov ah, [c_dh]
        mov al, 0x00
        call set_cmos
        mov ah, [c_cl]
        mov al, 0x02
        call set_cmos
        mov ah, [c_ch]
        mov al, 0x04
        call set_cmos
        jmp .go
.set_date:
        call clock_stop
        mov ah, [c_dl]
        mov al, 0x07
        call set_cmos
        mov ah, [c_dh]
        mov al, 0x08
        call set_cmos
        mov ah, [c_cl]
        mov al, 0x09
        call set_cmos
        mov ah, [c_ch]
        mov al, 0x32
        call set_cmos
.go:    mov al, 0x0b
        call cmos
        and al, 0x7f
        mov ah, al
        mov al, 0x0b
        call set_cmos
        jmp ok_ah
cmos:   out 0x70, al
        in al, 0x71
        ret
set_cmos:
        out 0x70, al
        mov al, ah
        out 0x71, al
        ret
clock_ready:                            ; not while it changes; an update takes 2 ms
        mov al, 0x0a
        call cmos
        test al, 0x80
        jnz clock_ready
        ret
clock_stop:
        mov al, 0x0b
        call cmos
        or al, 0x80
        mov ah, al
        mov al, 0x0b
        jmp set_cmos

; ---- PCI BIOS 2.1, by configuration mechanism 1 ----
pci_bios:
        mov al, [c_al]
        cmp al, 0x01
        je .present
        cmp al, 0x02
        je .find_device
        cmp al, 0x03
        je .find_class
        sub al, 0x08
        cmp al, 5
        jbe .config
        mov al, 0x81                    ; FUNC_NOT_SUPPORTED
.error: mov [c_ah], al
        jmp fail
.present:
        mov dword [c_edx], 0x20494350   ; "PCI "
        mov word [c_ax], 0x0001         ; configuration mechanism 1, no special cycles
        mov word [c_bx], 0x0210
        mov al, [cs:last_bus]
        mov [c_cl], al
        mov dword [c_edi], 0            ; no entry for protected mode
        jmp ok
.config:
        movzx si, al
        mov al, [cs:.widths + si]       ; bytes
        mov bx, [c_edi]
        movzx dx, al
        dec dx
        test bx, dx
        jnz .bad_register
        cmp bx, 0x100
        jae .bad_register
        mov ax, [c_bx]
        call pci_address
        mov dx, bx
        and dx, 3
        add dx, 0xcfc
        add si, si
        call [cs:.accesses + si]
        jmp ok_ah
.bad_register:
        mov al, 0x87                    ; BAD_REGISTER_NUMBER
        jmp .error
.widths: db 1, 2, 4, 1, 2, 4
.accesses: dw .read8, .read16, .read32, .write8, .write16, .write32
.read8: in al, dx
        mov [c_cl], al
        ret
.read16: in ax, dx
        mov [c_cx], ax
        ret
.read32: in eax, dx
        mov [c_ecx], eax
        ret
.write8: mov al, [c_cl]
        out dx, al
        ret
.write16: mov ax, [c_cx]
        out dx, ax
        ret
.write32: mov eax, [c_ecx]
        out dx, eax
        ret
.find_device:
        cmp word [c_dx], 0xffff
        je .bad_vendor
        mov edi, [c_ecx]                ; device in the upper half
        shl edi, 16
        mov di, [c_dx]
        xor bx, bx                      ; register 0, all of it
        xor cl, cl
        jmp .search
.bad_vendor:
        mov al, 0x83
        jmp .error
.find_class:
        mov edi, [c_ecx]
        and edi, 0xffffff
        mov bx, 0x08                    ; class code above the revision
        mov cl, 8
.search:
        mov si, [c_esi]
        xor edx, edx                    ; bus and function
.next:  push bx
        xor bx, bx
        mov ax, dx
        call pci_read
        cmp ax, 0xffff
        pop bx
        je .other
        mov ax, dx
        call pci_read
        shr eax, cl
        cmp eax, edi
        jne .step
        test si, si
        jz .found
        dec si
.step:  test dl, 7                      ; of one with a single function only that
        jnz .other
        push bx
        mov bx, 0x0c
        mov ax, dx
        call pci_read
        pop bx
        test eax, 0x800000
        jnz .other
        add dx, 7
.other: inc dx
        jz .absent
        mov al, [cs:last_bus]
        cmp dh, al
        jbe .next
.absent:
        mov al, 0x86                    ; DEVICE_NOT_FOUND
        jmp .error
.found: mov [c_bx], dx
        jmp ok_ah
; AX bus and function, BX register -> EAX what it says
pci_read:
        push dx
        call pci_address
        mov dx, 0xcfc
        in eax, dx
        pop dx
        ret
pci_address:
        push dx
        movzx eax, ax
        shl eax, 8
        mov al, bl
        and al, 0xfc
        or eax, 0x80000000
        mov dx, 0xcf8
        out dx, eax
        pop dx
        ret

        %include "keyboard.asm"
        %include "video.asm"

; ---- fixed places ----
        times 0xff53 - BASE - ($ - $$) db 0
        iret                            ; DUMMY
        times 0xfff0 - BASE - ($ - $$) db 0
        jmp 0xf000:reboot               ; the reset vector: nobody starts here with a kernel loaded, so it resets
        db "01/01/24", 0, 0xfc, 0
        times 0x8000 - ($ - $$) db 0
