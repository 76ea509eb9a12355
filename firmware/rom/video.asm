; SPDX-License-Identifier: GPL-2.0-or-later
; INT 10h on a VGA in text mode, 80 x 25, eight pages of 4 KiB at B800:0. Other modes are not set: function 0Fh goes on to tell mode 3. There
; are no fonts in this ROM and no VESA functions (registers come back as they were, which is how that is told).
int10:  service
        mov ah, [c_ah]
        cmp ah, 0x1a
        ja done
        movzx si, ah
        add si, si
        jmp [cs:.table + si]
.table: dw set_mode, set_shape, set_cursor, get_cursor, done, set_page, scroll_up, scroll_down, read_char, write_both, write_char, overscan
        dw done, done, teletype, get_mode, palette, font, alternate, write_string, done, done, done, done, done, done, display

; BH page -> BX place of its cursor in the data area
cursor_of:
        mov bl, [c_bh]
cursor_of_page:
        movzx bx, bl
        and bl, 7
        add bx, bx
        add bx, BDA_CURSOR
        ret
; DH row, DL column, BL page -> DI offset in text memory; ES text memory
cell:   push ax
        push 0xb800
        pop es
        movzx ax, dh
        imul ax, [BDA_COLUMNS]
        movzx di, dl
        add di, ax
        add di, di
        movzx ax, bl
        and al, 7
        imul ax, [BDA_PAGESIZE]
        add di, ax
        pop ax
        ret
; AH register of the CRTC, AL value
crtc:   push dx
        mov dx, [BDA_CRTC]
        xchg ah, al
        out dx, ax
        xchg ah, al
        pop dx
        ret
; The hardware's cursor to where that of the shown page is.
show_cursor:
        pusha
        mov bl, [BDA_PAGE]
        call cursor_of_page
        mov dx, [bx]
        mov bl, [BDA_PAGE]
        push es
        call cell
        pop es
        shr di, 1
        mov cx, di
        mov ah, 0x0e
        mov al, ch
        call crtc
        mov ah, 0x0f
        mov al, cl
        call crtc
        popa
        ret

set_mode:
        mov bl, [c_al]
        mov al, bl
        and al, 0x7f
        cmp al, 2
        jb done
        cmp al, 3
        ja done
        mov [BDA_MODE], al
        mov byte [BDA_PAGE], 0
        mov word [BDA_START], 0
        mov word [BDA_SHAPE], 0x0d0e
        push bx
        call load_mode
        pop bx
        xor ax, ax
        push ds
        pop es
        mov di, BDA_CURSOR
        mov cx, 8
        rep stosw
        test bl, 0x80
        jnz .kept
        push 0xb800
        pop es
        xor di, di
        mov ax, 0x0720
        mov cx, 0x4000
        rep stosw
.kept:  call show_cursor
        mov byte [c_al], 0x30
        jmp done
; The registers of mode 3.   IBM "VGA Technical Reference", "Register values for modes of operation"
load_mode:
        mov dx, 0x3c4
        mov si, sequencer
        mov cx, 5
        xor ah, ah
.seq:   mov al, [cs:si]
        xchg ah, al
        out dx, ax
        xchg ah, al
        inc ah
        inc si
        loop .seq
        mov dx, 0x3c2
        mov al, 0x67
        out dx, al
        mov dx, [BDA_CRTC]
        mov ax, 0x0e11                  ; registers 0 to 7 open
        out dx, ax
        mov si, crt
        mov cx, 25
        xor ah, ah
.crt:   mov al, [cs:si]
        call crtc
        inc ah
        inc si
        loop .crt
        mov dx, 0x3ce
        mov si, graphics
        mov cx, 9
        xor ah, ah
.gfx:   mov al, [cs:si]
        xchg ah, al
        out dx, ax
        xchg ah, al
        inc ah
        inc si
        loop .gfx
        mov dx, 0x3da
        in al, dx
        mov dx, 0x3c0
        mov si, attributes
        mov cx, 21
        xor ah, ah
.attr:  mov al, ah
        out dx, al
        mov al, [cs:si]
        out dx, al
        inc ah
        inc si
        loop .attr
        mov al, 0x20                    ; picture on
        out dx, al
        mov dx, 0x3c8                   ; 64 colours of two bits each
        xor al, al
        out dx, al
        inc dx
        xor bl, bl
.dac:   mov bh, bl                      ; 5:3 thirds, 2:0 two thirds of red, green, blue
        mov cx, 3
.part:  xor al, al
        test bh, 4
        jz .no_two
        mov al, 0x2a
.no_two:
        test bh, 0x20
        jz .no_one
        add al, 0x15
.no_one:
        out dx, al
        add bh, bh
        loop .part
        inc bl
        cmp bl, 64
        jb .dac
        ret
sequencer:  db 0x03, 0x00, 0x03, 0x00, 0x02
crt:        db 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00
            db 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff
graphics:   db 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff
attributes: db 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00

set_shape:
        mov cx, [c_cx]
        mov [BDA_SHAPE], cx
        ; Shapes are told for characters of eight lines; here they have 16.
        mov ax, cx
        test ch, 0x20
        jnz .write
        cmp cl, 8
        jae .write
        add ch, ch
        add cl, cl
        inc cl
        cmp cl, 0x0f
        jne .write
        sub cx, 0x0101                  ; underline: 13 and 14
.write: mov ah, 0x0a
        mov al, ch
        call crtc
        mov ah, 0x0b
        mov al, cl
        call crtc
        jmp done
set_cursor:
        call cursor_of
        mov dx, [c_dx]
        mov [bx], dx
        call show_cursor
        jmp done
get_cursor:
        call cursor_of
        mov ax, [bx]
        mov [c_dx], ax
        mov ax, [BDA_SHAPE]
        mov [c_cx], ax
        jmp done
set_page:
        mov al, [c_al]
        cmp al, 7
        ja done
        mov [BDA_PAGE], al
        movzx cx, al
        imul cx, [BDA_PAGESIZE]
        mov [BDA_START], cx
        shr cx, 1
        mov ah, 0x0c
        mov al, ch
        call crtc
        mov ah, 0x0d
        mov al, cl
        call crtc
        call show_cursor
        jmp done
get_mode:
        mov al, [BDA_MODE]
        mov [c_al], al
        mov al, [BDA_COLUMNS]
        mov [c_ah], al
        mov al, [BDA_PAGE]
        mov [c_bh], al
        jmp done

scroll_up:
        mov bl, [BDA_PAGE]
        mov al, [c_al]
        mov ah, [c_bh]
        mov cx, [c_cx]
        mov dx, [c_dx]
        call scroll
        jmp done
scroll_down:
        mov bl, [BDA_PAGE]
        mov al, [c_al]
        mov ah, [c_bh]
        mov cx, [c_cx]
        mov dx, [c_dx]
        call limits
        jc done
        mov bh, dh                      ; from the last line on
        sub bh, ch
        inc bh
        test al, al
        jz .all
        cmp al, bh
        jbe .lines
.all:   mov al, bh
.lines: mov bh, dh
.line:  cmp bh, ch
        jl .end
        push dx
        push ax
        mov ah, bh
        sub ah, al
        cmp ah, ch
        pop ax
        pushf
        mov dh, bh
        mov dl, cl
        call cell
        popf
        pop dx
        jl .blank
        push dx
        push di
        mov dh, bh
        sub dh, al
        mov dl, cl
        call cell
        mov si, di
        pop di
        pop dx
        call copy_line
        jmp .next
.blank: call clear_line
.next:  dec bh
        jmp .line
.end:   jmp done
; BL page, AL lines (0: all), AH attribute, CX upper left, DX lower right
scroll: call limits
        jc .end
        mov bh, dh
        sub bh, ch
        inc bh
        test al, al
        jz .all
        cmp al, bh
        jbe .lines
.all:   mov al, bh
.lines: mov bh, ch
.line:  cmp bh, dh
        ja .end
        push dx
        mov dh, bh
        mov dl, cl
        call cell
        pop dx
        push ax
        add al, bh
        cmp al, dh
        pop ax
        ja .blank
        push dx
        push di
        mov dh, bh
        add dh, al
        mov dl, cl
        call cell
        mov si, di
        pop di
        pop dx
        call copy_line
        jmp .next
.blank: call clear_line
.next:  inc bh
        jmp .line
.end:   ret
; The window within the screen. CF: there is none.
limits: push ax
        mov al, [BDA_ROWS]
        cmp dh, al
        jbe .rows
        mov dh, al
.rows:  mov al, [BDA_COLUMNS]
        cmp dl, al
        jb .columns
        mov dl, al
        dec dl
.columns:
        pop ax
        cmp ch, dh
        ja .none
        cmp cl, dl
        ja .none
        clc
        ret
.none:  stc
        ret
; ES:DI from ES:SI, and ES:DI blank: columns CL to DL
copy_line:
        pusha
        movzx ax, dl
        sub al, cl
        inc ax
        mov cx, ax
.next:  mov ax, [es:si]
        mov [es:di], ax
        add si, 2
        add di, 2
        loop .next
        popa
        ret
clear_line:
        pusha
        movzx bx, dl
        sub bl, cl
        inc bx
        mov cx, bx
        mov al, ' '
        rep stosw
        popa
        ret

read_char:
        call cursor_of
        mov dx, [bx]
        mov bl, [c_bh]
        call cell
        mov ax, [es:di]
        mov [c_ax], ax
        jmp done
write_both:
        call cursor_of
        mov dx, [bx]
        mov bl, [c_bh]
        call cell
        mov al, [c_al]
        mov ah, [c_bl]
        mov cx, [c_cx]
        rep stosw
        jmp done
write_char:
        call cursor_of
        mov dx, [bx]
        mov bl, [c_bh]
        call cell
        mov al, [c_al]
        mov cx, [c_cx]
        jcxz .end
.next:  stosb
        inc di
        loop .next
.end:   jmp done

teletype:
        mov al, [c_al]
        mov bl, [BDA_PAGE]
        call put_char
        call show_cursor
        jmp done
; AL at the cursor of page BL, with what control characters do; the attribute stays.
put_char:
        push bx
        call cursor_of_page
        mov si, bx
        pop bx
        mov dx, [si]
        cmp al, 7
        je .end
        cmp al, 8
        je .back
        cmp al, 10
        je .line
        cmp al, 13
        je .return
        call cell
        mov [es:di], al
        inc dl
        cmp dl, [BDA_COLUMNS]
        jb .end
        xor dl, dl
.line:  cmp dh, [BDA_ROWS]
        jae .scroll
        inc dh
        jmp .end
.scroll:
        mov dh, [BDA_ROWS]
        mov [si], dx
        push si
        push dx
        mov dl, 0
        call cell
        mov ah, [es:di + 1]             ; new lines look like the last one
        mov al, 1
        xor cx, cx
        mov dx, 0x184f
        call scroll
        pop dx
        pop si
        jmp .end
.back:  test dl, dl
        jz .end
        dec dl
        jmp .end
.return:
        xor dl, dl
.end:   mov [si], dx
        ret
write_string:                           ; ES:BP of the caller
        mov cx, [c_cx]
        mov bl, [c_bh]
        call cursor_of_page
        push word [bx]
        push bx
        mov dx, [c_dx]
        mov [bx], dx
        mov si, [c_ebp]
        jcxz .end
.next:  push word [c_es]
        pop es
        mov al, [es:si]
        inc si
        test byte [c_al], 2             ; attributes stand between the characters
        mov ah, [c_bl]
        jz .single
        mov ah, [es:si]
        inc si
.single:
        push cx
        push si
        cmp al, 7
        je .control
        cmp al, 8
        je .control
        cmp al, 10
        je .control
        cmp al, 13
        je .control
        mov bl, [c_bh]
        call cursor_of_page
        mov dx, [bx]
        mov bl, [c_bh]
        call cell
        mov [es:di + 1], ah
.control:
        mov bl, [c_bh]
        call put_char
        pop si
        pop cx
        loop .next
.end:   pop bx
        pop dx
        test byte [c_al], 1             ; the cursor goes along, or back
        jnz .moved
        mov [bx], dx
.moved: call show_cursor
        jmp done

overscan:
        cmp byte [c_bh], 0
        jne done
        mov ah, 0x11
        mov al, [c_bl]
        call attribute
        jmp done
; AH register of the attribute controller, AL value; the picture stays on
attribute:
        push dx
        push ax
        mov dx, 0x3da
        in al, dx
        pop ax
        mov dx, 0x3c0
        xchg ah, al
        out dx, al
        xchg ah, al
        out dx, al
        mov al, 0x20
        out dx, al
        pop dx
        ret
; AH register -> AL value
get_attribute:
        mov dx, 0x3da
        in al, dx
        mov dx, 0x3c0
        mov al, ah
        out dx, al
        inc dx
        in al, dx
        push ax
        mov dx, 0x3da
        in al, dx
        mov dx, 0x3c0
        mov al, 0x20
        out dx, al
        pop ax
        ret
palette:
        mov al, [c_al]
        cmp al, 0x00
        je .one
        cmp al, 0x01
        je .border
        cmp al, 0x03
        je .blink
        cmp al, 0x07
        je .get
        cmp al, 0x10
        je .set_dac
        cmp al, 0x15
        je .get_dac
        jmp done
.one:   mov ah, [c_bl]
        cmp ah, 0x14
        ja done
        mov al, [c_bh]
        call attribute
        jmp done
.border:
        mov ah, 0x11
        mov al, [c_bh]
        call attribute
        jmp done
.blink: mov ah, 0x10
        call get_attribute
        and al, ~8
        test byte [c_bl], 1
        jz .steady
        or al, 8
.steady:
        mov ah, 0x10
        call attribute
        jmp done
.get:   mov ah, [c_bl]
        cmp ah, 0x14
        ja done
        call get_attribute
        mov [c_bh], al
        jmp done
.set_dac:
        mov dx, 0x3c8
        mov al, [c_bl]
        out dx, al
        inc dx
        mov al, [c_dh]
        out dx, al
        mov al, [c_ch]
        out dx, al
        mov al, [c_cl]
        out dx, al
        jmp done
.get_dac:
        mov dx, 0x3c7
        mov al, [c_bl]
        out dx, al
        mov dx, 0x3c9
        in al, dx
        mov [c_dh], al
        in al, dx
        mov [c_ch], al
        in al, dx
        mov [c_cl], al
        jmp done
font:   cmp byte [c_al], 0x30
        jne done
        mov word [c_cx], 16
        mov al, [BDA_ROWS]
        mov [c_dl], al
        mov word [c_es], 0              ; no font
        mov word [c_ebp], 0
        jmp done
alternate:
        cmp byte [c_bl], 0x10
        jne done
        mov word [c_bx], 0x0003         ; colour, 256 KiB
        mov word [c_cx], 0x0009
        jmp done
display:
        cmp byte [c_al], 0
        jne done
        mov byte [c_al], 0x1a
        mov word [c_bx], 0x0008         ; VGA with a colour display, no other
        jmp done
