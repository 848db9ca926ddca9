/* MODEL: the name of a .cq file, put where board.ld says */
    .section .model, "a"
    .balign 64
    .global board_model, board_model_end
board_model:
    .incbin MODEL_FILE
board_model_end:
