; SPDX-License-Identifier: GPL-2.0-or-later
; INT 16h and the keys behind it. The controller is looked at whenever somebody asks, so nothing depends on IRQ1 being open.
reboot: cli
        mov dx, 0xcf9
        mov al, 6
        out dx, al
.halt:  hlt
        jmp .halt

int16:  service
        mov ah, [c_ah]
        cmp ah, 0x0a
        ja .enhanced
.known: movzx si, ah
        add si, si
        jmp [cs:.table + si]
.enhanced:
        sub ah, 0x10
        cmp ah, 2
        jbe .known                      ; 10h to 12h: keys are told in one way only
        jmp done
.table: dw .read, .look, .shift, .rate, done, .push, done, done, done, .functions, .id
.read:  call poll_keys
        mov si, [BDA_HEAD]
        cmp si, [BDA_TAIL]
        jne .take
        sti
        nop
        cli
        jmp .read
.take:  mov ax, [si]
        mov [c_ax], ax
        call next_place
        mov [BDA_HEAD], si
        jmp done
.look:  call poll_keys
        mov si, [BDA_HEAD]
        cmp si, [BDA_TAIL]
        je .none
        mov ax, [si]
        mov [c_ax], ax
        and byte [c_fl], ~0x40          ; ZF: nothing there
        jmp done
.none:  or byte [c_fl], 0x40
        jmp done
.shift: mov al, [BDA_SHIFT]
        mov [c_al], al
        cmp byte [c_ah], 0x12
        jne done
        mov byte [c_ah], 0
        jmp done
.rate:  cmp byte [c_al], 5
        jne done
        mov al, 0xf3                    ; SET TYPEMATIC RATE
        call tell_keyboard
        jc done
        mov al, [c_bh]
        and al, 3
        shl al, 5
        mov ah, [c_bl]
        and ah, 0x1f
        or al, ah
        call tell_keyboard
        jmp done
.push:  mov ax, [c_cx]
        call put_key
        setc [c_al]
        jmp done
.functions:
        mov byte [c_al], 0x28           ; AX = 0305h, AH = 0Ah
        jmp done
.id:    mov word [c_bx], 0
        cmp word [cs:has_keyboard], 0
        je done
        mov word [c_bx], 0x83ab
        jmp done

; SI: the place after this one.
next_place:
        add si, 2
        cmp si, [BDA_KEND]
        jb .in
        mov si, [BDA_KBEGIN]
.in:    ret
; AX to the buffer. CF: it is full.
put_key:
        mov di, [BDA_TAIL]
        mov si, di
        call next_place
        cmp si, [BDA_HEAD]
        je .full
        mov [di], ax
        mov [BDA_TAIL], si
        clc
        ret
.full:  stc
        ret

; A byte to the keyboard. CF: it did not say ACK.
tell_keyboard:
        cmp word [cs:has_keyboard], 0
        je .no
        out 0x60, al
        mov cx, 0x1000
.wait:  in al, 0x64
        test al, 1
        loopz .wait
        jz .no
        in al, 0x60
        cmp al, 0xfa
        je .yes
.no:    stc
        ret
.yes:   clc
        ret

poll_keys:
        cmp word [cs:has_keyboard], 0
        je .done
.more:  in al, 0x64
        and al, 0x21
        cmp al, 1                       ; a byte, and not the mouse's
        jne .done
        call take_key
        jmp .more
.done:  ret

; One scan code from the controller, of set 1.
take_key:
        in al, 0x60
        cmp al, 0xe0
        je .prefix
        mov ah, [BDA_KFLAGS]
        and byte [BDA_KFLAGS], ~2
        mov bl, al
        and bl, 0x7f
        mov cx, modifiers_end - modifiers
        mov si, modifiers
.modifier:
        cmp bl, [cs:si]
        je .shift
        add si, 2
        sub cx, 2
        jnz .modifier
        cmp bl, 0x3a
        je .caps
        test al, 0x80
        jnz .done
        mov ah, bl                      ; the scan code as it is told
        cmp bl, KEYS
        jae .special
        movzx si, bl
        test byte [BDA_SHIFT], 8
        jnz .alt
        test byte [BDA_SHIFT], 4
        jnz .control
        mov al, [cs:plain + si]
        test byte [BDA_SHIFT], 3
        jz .unshifted
        mov al, [cs:shifted + si]
.unshifted:
        test byte [BDA_SHIFT], 0x40     ; caps lock turns letters
        jz .put
        mov bl, al
        or bl, 0x20
        cmp bl, 'a'
        jb .put
        cmp bl, 'z'
        ja .put
        xor al, 0x20
.put:   test al, al
        jz .done
        jmp put_key
.control:
        mov al, [cs:plain + si]
        cmp al, 0x40
        jb .done
        cmp al, 0x7f
        ja .done
        and al, 0x1f
        jmp put_key
.alt:   xor al, al
        jmp put_key
.special:                               ; function and cursor keys
        xor al, al
        cmp bl, 0x3b
        jb .done
        cmp bl, 0x58
        ja .done
        jmp put_key
.prefix:
        or byte [BDA_KFLAGS], 2
.done:  ret
.shift: mov bl, [cs:si + 1]
        or [BDA_SHIFT], bl
        test al, 0x80
        jz .done
        not bl
        and [BDA_SHIFT], bl
        ret
.caps:  test al, 0x80
        jnz .done
        xor byte [BDA_SHIFT], 0x40
        ret

modifiers: db 0x2a, 2, 0x36, 1, 0x1d, 4, 0x38, 8      ; scan code, bit
modifiers_end:
plain:  db 0, 27, "1234567890-=", 8, 9, "qwertyuiop[]", 13, 0, "asdfghjkl;'`", 0, "\zxcvbnm,./", 0, '*', 0, ' '
KEYS    equ $ - plain
shifted: db 0, 27, "!@#$%^&*()_+", 8, 0, "QWERTYUIOP{}", 13, 0, 'ASDFGHJKL:"~', 0, "|ZXCVBNM<>?", 0, '*', 0, ' '
        %if $ - shifted != KEYS
          %error "the two tables of keys differ in length"
        %endif
