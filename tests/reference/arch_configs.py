"""Tiny configurations of many architectures: only data, built by make_arch.py.

CONFIGS: name -> what transformers can build from a model type and keyword arguments.  A name is its model type, or
the model type, two underscores and what is special.  Sizes are the smallest at which a mistake still shows: more
than one head and layer, grouped keys, windows shorter than the sequence of 24 ids, experts that differ.
REBUILT: name -> models whose own code is not in transformers; see there.
"""

IDS = dict(vocab_size=256, bos_token_id=1, eos_token_id=2)
BASE = dict(IDS, pad_token_id=0, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128)
GPT = dict(IDS, n_positions=64, n_embd=64, n_layer=2, n_head=4)
FALCON = dict(IDS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)
OPT = dict(FALCON, pad_token_id=0)
MLA = dict(q_lora_rank=32, kv_lora_rank=16, qk_nope_head_dim=16, qk_rope_head_dim=8)
EXPERTS = dict(num_experts=8, num_experts_per_tok=3)
LOCAL_EXPERTS = dict(num_local_experts=8, num_experts_per_tok=3)
ROUTED = dict(n_routed_experts=8, n_shared_experts=1, num_experts_per_tok=3, moe_intermediate_size=32)
GRANITE = dict(embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.375, logits_scaling=2.5)
MAMBA = dict(mamba_n_heads=8, mamba_d_head=16, mamba_n_groups=2, mamba_d_state=16, mamba_d_conv=4, mamba_expand=2,
             mamba_chunk_size=8)
NEMOTRON = dict(mamba_num_heads=8, mamba_head_dim=16, n_groups=2, ssm_state_size=16, conv_kernel=4, chunk_size=8,
                expand=2)

CONFIGS = {}


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


def strip(config):
    """Without the keys that have the value ..."""
    return {key: strip(value) if isinstance(value, dict) else value
            for key, value in config.items() if value is not ...}


def add(name, model_type=None, base=BASE, cls=None, **config):
    """config over base; ... takes a key of base away.  cls: the class, where AutoModelForCausalLM is not the one."""
    CONFIGS[name] = dict(model_type=model_type or name, cls=cls or "AutoModelForCausalLM",
                         config=strip({**base, **config}))


# ---- dense llama family ----
add("llama", tie_word_embeddings=False, rope_parameters=rope(theta=500000.0))
add("llama__bias_tied", "llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True, head_dim=32)
add("llama__rope_llama3", "llama", rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0,
    high_freq_factor=4.0, original_max_position_embeddings=16))
add("llama__rope_linear", "llama", rope_parameters=rope("linear", factor=4.0))
add("llama__rope_yarn", "llama", rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32))
add("llama__rope_dynamic", "llama", max_position_embeddings=16, rope_parameters=rope("dynamic", factor=2.0))
add("mistral", sliding_window=8, head_dim=32)
add("qwen2", tie_word_embeddings=True)
add("qwen2__sliding", "qwen2", num_hidden_layers=3, use_sliding_window=True, sliding_window=8, max_window_layers=1)
add("qwen3", head_dim=32, tie_word_embeddings=True)
add("smollm3", num_hidden_layers=4, no_rope_layer_interval=2)
add("seed_oss", head_dim=32, attention_bias=True, attention_out_bias=True)
add("granite", embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.375, logits_scaling=3.0)
add("olmo", clip_qkv=2.0)
add("olmo2")
add("olmo3", num_hidden_layers=4, sliding_window=8)
add("stablelm", use_qkv_bias=True, qk_layernorm=False, use_parallel_residual=False)
add("stablelm__parallel_qknorm", "stablelm", use_qkv_bias=False, qk_layernorm=True, use_parallel_residual=True)
add("starcoder2", sliding_window=8, use_bias=True)
add("cohere", logit_scale=0.25, use_qk_norm=False)
add("cohere__qknorm", "cohere", logit_scale=0.25, use_qk_norm=True)
add("cohere2", num_hidden_layers=4, sliding_window=8, logit_scale=0.25)
add("glm", head_dim=16, attention_bias=True)
add("glm4", head_dim=16, attention_bias=True)
add("exaone4", num_hidden_layers=4, sliding_window=8, sliding_window_pattern=4)
add("ernie4_5", use_bias=True, head_dim=32)
add("hunyuan_v1_dense", head_dim=32)
add("phi", hidden_act="gelu_new", qk_layernorm=False, partial_rotary_factor=0.5)
add("phi__qknorm", "phi", hidden_act="gelu_new", qk_layernorm=True)
add("phi3", original_max_position_embeddings=64, sliding_window=8)
add("phi3__longrope_partial", "phi3", original_max_position_embeddings=16, rope_parameters=rope("longrope",
    partial_rotary_factor=0.75, long_factor=[1.0, 1.3, 1.6, 1.9, 2.2, 2.5], short_factor=[1.0, 1.05, 1.1, 1.15, 1.2,
    1.25], original_max_position_embeddings=16))
add("gemma", head_dim=32)
add("gemma2", head_dim=32, sliding_window=8, query_pre_attn_scalar=24, attn_logit_softcapping=5.0,
    final_logit_softcapping=3.0)
add("gemma3_text", num_hidden_layers=6, head_dim=16, sliding_window=8, query_pre_attn_scalar=24)
add("nemotron")
add("arcee")
add("apertus")
add("helium", head_dim=16)
add("internlm3", qkv_bias=True, bias=True, head_dim=16)
add("minicpm3", num_key_value_heads=4, **MLA, v_head_dim=16, scale_emb=12, scale_depth=1.4, dim_model_base=32)
add("ministral3", head_dim=16)
add("nanochat")
add("diffllama")
add("vaultgemma", head_dim=32, sliding_window=8, query_pre_attn_scalar=24)
add("bitnet")
add("doge")
add("modernbert_decoder", "modernbert-decoder", num_key_value_heads=..., num_hidden_layers=3,
    global_attn_every_n_layers=2, local_attention=8)
add("hyperclovax")
add("youtu", pad_token_id=..., num_key_value_heads=4, **MLA, v_head_dim=16)
add("persimmon", num_key_value_heads=..., qk_layernorm=True, partial_rotary_factor=0.5, hidden_act="relu2")

# ---- older ----
add("gpt2", base=GPT)
add("gpt_neox", base=IDS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
    max_position_embeddings=64, rotary_pct=0.5, rope_parameters=rope(partial_rotary_factor=0.5),
    use_parallel_residual=True)
add("gpt_neox__sequential", "gpt_neox", base=IDS, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=128, max_position_embeddings=64, rope_parameters=rope( partial_rotary_factor=0.25),
    use_parallel_residual=False, attention_bias=True)
add("gptj", base=IDS, n_positions=64, n_embd=64, n_layer=2, n_head=4, rotary_dim=8)
add("codegen", base=IDS, n_positions=64, n_ctx=64, n_embd=64, n_layer=2, n_head=4, rotary_dim=8)
add("gpt_neo", base=IDS, max_position_embeddings=64, hidden_size=64, num_layers=2, num_heads=4, intermediate_size=128,
    attention_types=[[["global", "local"], 1]], window_size=8)
add("gpt_bigcode", base=GPT, multi_query=True)
add("opt", base=OPT, ffn_dim=128, word_embed_proj_dim=64, do_layer_norm_before=True)
add("opt__350m_postln_proj", "opt", base=OPT, ffn_dim=128, word_embed_proj_dim=32, do_layer_norm_before=False)
add("bloom", base=IDS, hidden_size=64, n_layer=2, n_head=4, pad_token_id=0)
add("falcon", base=FALCON, multi_query=True, parallel_attn=True, bias=False, alibi=False,
    new_decoder_architecture=False)
add("falcon__new_decoder_gqa", "falcon", base=FALCON, new_decoder_architecture=True, num_kv_heads=2, bias=False,
    alibi=False)
add("falcon__rw_alibi", "falcon", base=FALCON, multi_query=False, parallel_attn=False, bias=True, alibi=True,
    new_decoder_architecture=False)
add("mpt", base=IDS, d_model=64, n_heads=4, n_layers=2, expansion_ratio=2, max_seq_len=64, no_bias=True,
    attn_config=dict(alibi=True, clip_qkv=2.0, qk_ln=False))
add("xglm", base=IDS, d_model=64, ffn_dim=128, num_layers=2, attention_heads=4, max_position_embeddings=64,
    pad_token_id=0)
add("biogpt", base=IDS, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64, pad_token_id=0)

# ---- MoE ----
add("olmoe", intermediate_size=32, **EXPERTS, norm_topk_prob=False)
add("olmoe__clip_norm", "olmoe", intermediate_size=32, **EXPERTS, norm_topk_prob=True, clip_qkv=1.5)
add("qwen2_moe", num_hidden_layers=3, **EXPERTS, moe_intermediate_size=32, shared_expert_intermediate_size=64,
    norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=[1], qkv_bias=True)
add("qwen3_moe", num_hidden_layers=3, head_dim=32, **EXPERTS, moe_intermediate_size=32, norm_topk_prob=True,
    decoder_sparse_step=2)
add("mixtral", intermediate_size=64, num_local_experts=4, num_experts_per_tok=2)
add("phimoe", intermediate_size=64, num_local_experts=4, num_experts_per_tok=2, attention_bias=True, lm_head_bias=True,
    original_max_position_embeddings=128)
add("deepseek_v2", num_hidden_layers=3, num_key_value_heads=4, first_k_dense_replace=1, n_routed_experts=8,
    n_shared_experts=2, num_experts_per_tok=3, moe_intermediate_size=32, **MLA, v_head_dim=24, topk_method="greedy",
    routed_scaling_factor=1.5, norm_topk_prob=False)
add("deepseek_v2__group_noqlora", "deepseek_v2", num_key_value_heads=4, first_k_dense_replace=1, **ROUTED,
    q_lora_rank=None, kv_lora_rank=16, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=24,
    topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=2.0)
add("deepseek_v3", num_hidden_layers=3, num_key_value_heads=4, first_k_dense_replace=1, **ROUTED, **MLA, v_head_dim=24,
    n_group=4, topk_group=2, routed_scaling_factor=2.5, norm_topk_prob=True, rope_interleave=True)
add("deepseek_v3__yarn", "deepseek_v3", num_key_value_heads=4, first_k_dense_replace=1, **ROUTED, **MLA, v_head_dim=24,
    n_group=4, topk_group=2, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32,
    beta_fast=32, beta_slow=1, mscale=1.0, mscale_all_dim=1.0))
add("granitemoe", intermediate_size=32, **LOCAL_EXPERTS, **GRANITE)
add("granitemoeshared", intermediate_size=32, **LOCAL_EXPERTS, shared_intermediate_size=64, **GRANITE)
add("granitemoehybrid", intermediate_size=32, num_hidden_layers=3, **LOCAL_EXPERTS, shared_intermediate_size=64,
    layer_types=["mamba", "attention", "mamba"], **MAMBA, **GRANITE, position_embedding_type="rope")
add("dbrx", base=IDS, d_model=64, n_heads=4, n_layers=2, max_seq_len=64, attn_config=dict(kv_n_heads=2, clip_qkv=2.0,
    rope_theta=500000.0), rope_parameters=rope(theta=500000.0),
    ffn_config=dict(ffn_hidden_size=32, moe_num_experts=8, moe_top_k=3, moe_normalize_expert_weights=1.0,
    hidden_size=64, ffn_act_fn=dict(name="silu")))
add("gpt_oss", intermediate_size=32, head_dim=16, **LOCAL_EXPERTS, sliding_window=8,
    rope_parameters=dict(rope_type="yarn", rope_theta=150000.0, factor=4.0, beta_fast=32.0, beta_slow=1.0,
    truncate=False, original_max_position_embeddings=32))
add("llama4_text", intermediate_size=32, num_hidden_layers=4, intermediate_size_mlp=64, head_dim=16,
    num_local_experts=4, num_experts_per_tok=1, interleave_moe_layer_step=2, no_rope_layers=[1, 1, 1, 0],
    attention_chunk_size=8, use_qk_norm=True, attn_temperature_tuning=True, floor_scale=4, attn_scale=0.1)
add("glm4_moe", num_hidden_layers=3, head_dim=16, **ROUTED, first_k_dense_replace=1, n_group=1, topk_group=1,
    routed_scaling_factor=1.5, use_qk_norm=True, attention_bias=True, norm_topk_prob=True)
add("minimax", intermediate_size=32, head_dim=16, num_local_experts=4, num_experts_per_tok=2, block_size=8,
    layer_types=["linear_attention", "full_attention"])
add("minimax_m2", intermediate_size=32, head_dim=32, **LOCAL_EXPERTS, rotary_dim=16)
add("hunyuan_v1_moe", intermediate_size=32, head_dim=16, num_experts=4, moe_topk=[2, 2], moe_intermediate_size=[32,
    32], num_shared_expert=[1, 1])
add("ernie4_5_moe", num_hidden_layers=3, moe_num_experts=8, moe_k=3, moe_intermediate_size=32,
    moe_num_shared_experts=2, moe_layer_start_index=1, moe_layer_end_index=2, moe_layer_interval=1)
add("dots1", num_hidden_layers=3, head_dim=16, **ROUTED, first_k_dense_replace=1, n_group=2, topk_group=1,
    routed_scaling_factor=1.5)
add("flex_olmo", intermediate_size=32, **EXPERTS)
add("lfm2_moe", num_hidden_layers=3, **EXPERTS, moe_intermediate_size=32, num_dense_layers=1, layer_types=["conv",
    "full_attention", "conv"], conv_L_cache=3, use_expert_bias=True)
add("afmoe", num_hidden_layers=3, head_dim=16, **EXPERTS, moe_intermediate_size=32, num_dense_layers=1,
    num_shared_experts=1, sliding_window=8, layer_types=["sliding_attention", "full_attention", "sliding_attention"])
add("exaone_moe", num_hidden_layers=4, head_dim=16, **EXPERTS, moe_intermediate_size=32, num_shared_experts=1,
    sliding_window=8, first_k_dense_replace=1)
add("longcat_flash", num_hidden_layers=..., num_key_value_heads=4, num_layers=2, ffn_hidden_size=64,
    expert_ffn_hidden_size=32, n_routed_experts=8, zero_expert_num=4, moe_topk=3, **MLA, head_dim=8, v_head_dim=16)
add("glm4_moe_lite", num_hidden_layers=3, num_key_value_heads=4, **ROUTED, first_k_dense_replace=1, n_group=1,
    topk_group=1, **MLA, v_head_dim=16)
add("solar_open", head_dim=16, **ROUTED, n_group=1, topk_group=1)
add("jetmoe", num_attention_heads=..., kv_channels=16, num_local_experts=4, num_experts_per_tok=2)

# ---- hybrid / SSM ----
add("mamba", base=IDS, hidden_size=64, state_size=8, num_hidden_layers=2, conv_kernel=4, expand=2, time_step_rank=4,
    pad_token_id=0)
add("falcon_mamba", base=IDS, hidden_size=64, state_size=8, num_hidden_layers=2, conv_kernel=4, expand=2,
    time_step_rank=4, pad_token_id=0)
add("mamba2", base=IDS, hidden_size=64, num_heads=8, head_dim=16, state_size=16, n_groups=2, num_hidden_layers=2,
    conv_kernel=4, expand=2, chunk_size=8, pad_token_id=0)
add("nemotron_h", num_hidden_layers=4, hybrid_override_pattern="M-*M", layers_block_type=["mamba", "mlp", "attention",
    "mamba"], head_dim=16, attention_head_dim=16, **NEMOTRON)
add("nemotron_h__moe", "nemotron_h", num_hidden_layers=4, hybrid_override_pattern="ME*M", layers_block_type=["mamba",
    "moe", "attention", "mamba"], head_dim=16, **NEMOTRON, n_routed_experts=8, num_experts_per_tok=3,
    moe_intermediate_size=32, moe_shared_expert_intermediate_size=64, n_shared_experts=1, n_group=1, topk_group=1,
    routed_scaling_factor=2.5, norm_topk_prob=True)
add("bamba", num_hidden_layers=3, attn_layer_indices=[1], attn_rotary_emb=8, **MAMBA)
add("falcon_h1", head_dim=16, mamba_n_heads=8, mamba_d_head=16, mamba_d_ssm=128, mamba_n_groups=2, mamba_d_state=16,
    mamba_d_conv=4, mamba_expand=2, mamba_chunk_size=8, embedding_multiplier=5.0, lm_head_multiplier=0.5,
    attention_in_multiplier=1.2, attention_out_multiplier=0.8, key_multiplier=0.7, ssm_in_multiplier=1.25,
    ssm_out_multiplier=0.6, ssm_multipliers=[0.7, 0.9, 1.1, 1.2, 0.8], mlp_multipliers=[1.3, 0.7], mamba_rms_norm=True)
add("jamba", num_hidden_layers=4, attn_layer_period=4, attn_layer_offset=1, expert_layer_period=2,
    expert_layer_offset=1, num_experts=5, num_experts_per_tok=2, mamba_d_state=8, mamba_d_conv=4, mamba_expand=2,
    mamba_dt_rank=4, use_mamba_kernels=False)
add("lfm2", num_hidden_layers=3, layer_types=["conv", "full_attention", "conv"], conv_L_cache=3,
    block_auto_adjust_ff_dim=False)
add("recurrent_gemma", num_hidden_layers=3, num_key_value_heads=1, lru_width=64, attention_window_size=8,
    block_types=["recurrent", "recurrent", "attention"])
add("qwen3_next", num_hidden_layers=4, head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
    linear_key_head_dim=16, linear_value_head_dim=16, linear_conv_kernel_dim=4, **EXPERTS, moe_intermediate_size=32,
    shared_expert_intermediate_size=32, decoder_sparse_step=1, norm_topk_prob=True)
add("zamba2", num_hidden_layers=3, num_key_value_heads=4, hybrid_layer_ids=[1], layers_block_type=["mamba", "hybrid",
    "mamba"], num_mem_blocks=1, mamba_d_state=16, mamba_d_conv=4, mamba_expand=2, mamba_ngroups=1, n_mamba_heads=8,
    mamba_headdim=16, chunk_size=8, attention_head_dim=32)
add("rwkv", base=IDS, hidden_size=64, attention_hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    context_length=64)
add("glm_moe_dsa", num_hidden_layers=3, num_key_value_heads=4, **ROUTED, first_k_dense_replace=1, n_group=1,
    topk_group=1, **MLA, v_head_dim=16, index_topk=8, index_head_dim=16, index_n_heads=16)

# ---- more model types; their executor in C is their second implementation ----
GDN = dict(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=12,
           linear_conv_kernel_dim=4)
SHARED = dict(moe_intermediate_size=24, shared_expert_intermediate_size=40)
TWO_ROPES = dict(sliding_attention=rope(), full_attention=rope(theta=1000000.0))
HYBRID = ["linear_attention", "linear_attention", "full_attention"]
INDEX = dict(index_topk=8, index_head_dim=16, index_n_heads=16)
add("qwen3_5_text", num_hidden_layers=3, head_dim=16, **GDN, layer_types=HYBRID)
add("qwen3_5_moe_text", num_hidden_layers=3, head_dim=16, **GDN, layer_types=HYBRID, **EXPERTS, **SHARED)
add("cohere2_moe", num_hidden_layers=4, head_dim=16, sliding_window=8, logit_scale=0.25, **EXPERTS,
    intermediate_size=32, num_shared_experts=2, mlp_layer_types=["dense", "sparse", "sparse", "sparse"],
    prefix_dense_intermediate_size=80)
add("cohere2_moe__sigmoid_sum", "cohere2_moe", num_hidden_layers=4, head_dim=16, sliding_window=8, logit_scale=0.25,
    **EXPERTS, intermediate_size=32, num_shared_experts=1, expert_selection_fn="sigmoid", norm_topk_prob=False,
    shared_expert_combination_strategy="sum", attention_bias=True)
add("gemma3n_text", num_hidden_layers=6, head_dim=16, intermediate_size=[96] * 6, sliding_window=8, laurel_rank=8,
    vocab_size_per_layer_input=256, hidden_size_per_layer_input=12, num_kv_shared_layers=2,
    activation_sparsity_pattern=[0.9, 0.9, 0.0, 0.0, 0.0, 0.0], altup_num_inputs=3, final_logit_softcapping=5.0,
    layer_types=["sliding_attention", "full_attention"] * 3, rope_parameters=TWO_ROPES)
add("gemma4_text", num_hidden_layers=4, head_dim=16, sliding_window=8, vocab_size_per_layer_input=256,
    hidden_size_per_layer_input=12, num_kv_shared_layers=2, final_logit_softcapping=5.0,
    layer_types=["sliding_attention", "full_attention"] * 2, per_layer_config={"1": dict(head_dim=32),
    "3": dict(head_dim=32)}, rope_parameters=dict(TWO_ROPES, full_attention=rope("proportional", 1000000.0,
    partial_rotary_factor=0.25)))
add("gemma4_text__moe", "gemma4_text", num_hidden_layers=2, head_dim=16, sliding_window=8,
    hidden_size_per_layer_input=0, layer_types=["sliding_attention", "full_attention"], attention_k_eq_v=True,
    enable_moe_block=True, num_experts=8, top_k_experts=3, moe_intermediate_size=24,
    per_layer_config={"1": dict(head_dim=32, num_key_value_heads=1)}, rope_parameters=dict(TWO_ROPES,
    full_attention=rope("proportional", 1000000.0, partial_rotary_factor=0.25)))
add("gemma4_unified_text", num_hidden_layers=4, head_dim=16, sliding_window=8, num_kv_shared_layers=2,
    use_double_wide_mlp=True, layer_types=["sliding_attention", "full_attention"] * 2,
    per_layer_config={"1": dict(head_dim=32), "3": dict(head_dim=32)}, rope_parameters=dict(TWO_ROPES,
    full_attention=rope("proportional", 1000000.0, partial_rotary_factor=0.25)))
add("hy_v3", num_hidden_layers=3, head_dim=16, **EXPERTS, num_shared_experts=1, moe_intermediate_size=24,
    mlp_layer_types=["dense", "sparse", "sparse"])
add("laguna", num_hidden_layers=3, head_dim=16, **EXPERTS, **SHARED, sliding_window=8,
    layer_types=["full_attention", "sliding_attention", "sliding_attention"], num_attention_heads_per_layer=[4, 6, 4],
    mlp_layer_types=["dense", "sparse", "sparse"], moe_routed_scaling_factor=1.5)
add("axk2", num_hidden_layers=3, num_key_value_heads=4, **ROUTED, **MLA, v_head_dim=16, **INDEX, gated_norm_rank=8,
    mlp_layer_types=["dense", "sparse", "sparse"])
add("axk1", num_hidden_layers=3, num_key_value_heads=4, **ROUTED, **MLA, v_head_dim=16, first_k_dense_replace=1,
    n_group=4, topk_group=2)
add("bailing_hybrid", num_hidden_layers=4, num_key_value_heads=4, num_experts=8, num_shared_experts=1,
    num_experts_per_token=3, moe_intermediate_size=24, num_expert_group=4, topk_group=2, kv_lora_rank=16,
    qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12, first_k_dense_replace=1, layer_group_size=2,
    linear_head_dim=16, linear_num_heads=4, max_position_embeddings=..., model_max_length=128)
add("kimi_linear", num_hidden_layers=4, num_key_value_heads=4, num_experts=8, num_shared_experts=1,
    num_experts_per_token=3, moe_intermediate_size=24, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=16,
    v_head_dim=12, linear_head_dim=16, linear_num_heads=4, max_position_embeddings=..., model_max_length=128,
    mlp_layer_types=["dense", "sparse", "sparse", "sparse"],
    layer_types=["linear_attention", "full_attention"] * 2)
add("deepseek_v32", num_hidden_layers=3, num_key_value_heads=4, **ROUTED, **MLA, v_head_dim=16, **INDEX, n_group=4,
    topk_group=2, mlp_layer_types=["dense", "sparse", "sparse"])
add("deepseek_v4", num_hidden_layers=3, intermediate_size=..., num_key_value_heads=1, head_dim=16, q_lora_rank=24,
    **ROUTED, layer_types=["heavily_compressed_attention", "compressed_sparse_attention", "sliding_attention"],
    compress_rates=dict(compressed_sparse_attention=4, heavily_compressed_attention=8), hc_mult=2, sliding_window=8,
    mlp_layer_types=["moe", "moe", "moe"], o_groups=2, o_lora_rank=16, **dict(INDEX, index_topk=2),
    partial_rotary_factor=0.5, qk_rope_head_dim=8)
add("minimax_m3_vl_text", num_hidden_layers=3, head_dim=16, intermediate_size=32, num_local_experts=8,
    num_experts_per_tok=3, dense_intermediate_size=80, shared_intermediate_size=24, rotary_dim=8,
    mlp_layer_types=["dense", "sparse", "sparse"])
add("minimax_m3_vl_text__sparse", "minimax_m3_vl_text", num_hidden_layers=3, head_dim=16, intermediate_size=24,
    num_local_experts=8, num_experts_per_tok=2, dense_intermediate_size=80, shared_intermediate_size=24, rotary_dim=8,
    mlp_layer_types=["dense", "sparse", "sparse"], layer_types=["full_attention"] + ["minimax_m3_sparse"] * 2,
    index_n_heads=2, index_head_dim=16, index_block_size=4, index_topk_blocks=3, index_local_blocks=1)
add("mistral4", cls="Mistral4ForCausalLM", num_hidden_layers=3, num_key_value_heads=4, **ROUTED, **MLA, v_head_dim=12,
    first_k_dense_replace=1)
add("hrm_text", num_hidden_layers=..., num_key_value_heads=..., head_dim=16, num_layers_per_stack=2)
add("qwen4_exp_text", num_hidden_layers=3, head_dim=16, **GDN, **EXPERTS, **SHARED, hc_count=2, hc_lowrank=16,
    layer_types=["linear_attention", "linear_attention", "indexed_attention"], indexer_n_heads=16, indexer_kv_heads=1,
    indexer_head_dim=16, indexer_budget=8, indexer_compress_ratio=1)
add("inkling_text", num_key_value_heads=2, num_hidden_layers=3, head_dim=16, swa_num_attention_heads=4,
    swa_num_key_value_heads=4, swa_head_dim=12, sliding_window_size=8, d_rel=4, rel_extent=16, n_routed_experts=8,
    num_experts_per_tok=3, n_shared_experts=2, moe_intermediate_size=24, unpadded_vocab_size=250,
    layer_types=["hybrid_sliding", "hybrid", "hybrid_sliding"], mlp_layer_types=["dense", "sparse", "sparse"],
    log_scaling_n_floor=4,
    logits_mup_width_multiplier=1.5, route_scale=2.0)
add("zamba", num_hidden_layers=5, num_key_value_heads=4, attention_hidden_size=128, attention_head_dim=32,
    attn_layer_period=3, attn_layer_offset=1, use_mamba_kernels=False, mamba_d_state=8, mamba_dt_rank=4)
add("cwm", sliding_window=8, num_hidden_layers=4, head_dim=16)
add("ministral", sliding_window=8, num_hidden_layers=3, head_dim=16,
    layer_types=["sliding_attention", "full_attention", "sliding_attention"])
add("jais2", head_dim=16)
add("flint", num_hidden_layers=4, head_dim=16, **EXPERTS, **SHARED, sliding_window=8, mlp_only_layers=[0],
    layer_types=["full_attention", "sliding_attention"] * 2)
add("lfm3", num_hidden_layers=4, head_dim=16, sliding_window=8,
    layer_types=["conv", "sliding_attention", "full_attention", "conv"])
add("granite_swa", num_hidden_layers=3, sliding_window=8, **GRANITE, layer_rope_theta=[0, 10000.0, 50000.0],
    layer_types=["full_attention", "sliding_attention", "full_attention"])
add("granitemoe_swa", sliding_window=8, intermediate_size=32, **LOCAL_EXPERTS, **GRANITE)
add("gpt_neox_japanese", base=FALCON, intermediate_multiple_size=2)
add("openai_gpt", "openai-gpt", base=GPT)
add("ctrl", base=IDS, n_positions=64, n_embd=64, n_layer=2, n_head=4, dff=96)
add("iquestcoder", num_hidden_layers=3)
add("mellum", num_hidden_layers=4, head_dim=16, sliding_window=8, **EXPERTS, moe_intermediate_size=24,
    layer_types=["sliding_attention", "full_attention"] * 2)
add("mimo_v2_flash", num_hidden_layers=3, head_dim=24, v_head_dim=12, n_routed_experts=8, num_experts_per_tok=3,
    moe_intermediate_size=24, sliding_window=8)
add("olmo_hybrid", num_hidden_layers=4, linear_num_key_heads=4, linear_num_value_heads=4, linear_key_head_dim=12,
    linear_value_head_dim=24)

# ---- text in a model that also sees or hears: only ids are given; the other towers are stored and stay unused ----
SIGLIP = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28,
              patch_size=14)
TOWER = dict(depth=1, hidden_size=16, intermediate_size=24, num_heads=2, patch_size=14, out_hidden_size=64)
AXIAL = dict(SIGLIP, head_dim=8)
TOKENS = dict(image_token_id=250, video_token_id=251, vision_start_token_id=252, vision_end_token_id=253)
GLM_TOKENS = dict(image_token_id=250, video_token_id=251, image_start_token_id=252, image_end_token_id=253,
                  video_start_token_id=254, video_end_token_id=255)
INDEX_TOKENS = dict(boi_token_index=252, eoi_token_index=253, image_token_index=250)
MROPE = dict(rope_type="default", rope_theta=10000.0)


def wrapper(name, text_type, vision, text={}, cls="AutoModelForImageTextToText", base=BASE, tower="vision_config",
            model_type=None, **top):
    more = {} if vision is None else {tower: vision}
    add(name, model_type, {}, cls, text_config={**base, **text, "model_type": text_type}, **more, **top)


wrapper("gemma3", "gemma3_text", SIGLIP, dict(num_hidden_layers=6, head_dim=16, sliding_window=8,
        query_pre_attn_scalar=24), **INDEX_TOKENS, mm_tokens_per_image=4)
wrapper("gemma4", "gemma4_text", None, CONFIGS["gemma4_text"]["config"], **TOKENS)
wrapper("gemma4_unified", "gemma4_unified_text", None, CONFIGS["gemma4_unified_text"]["config"], **TOKENS)
wrapper("llama4", "llama4_text", dict(SIGLIP, vision_output_dim=16, projector_input_dim=16, projector_output_dim=16,
        intermediate_size=64), CONFIGS["llama4_text"]["config"], **INDEX_TOKENS)
wrapper("glm4v", "glm4v_text", TOWER, dict(rope_parameters=dict(MROPE, mrope_section=[2, 3, 3],
        partial_rotary_factor=0.5), num_attention_heads=2, num_key_value_heads=1), **GLM_TOKENS)
wrapper("glm4v_moe", "glm4v_moe_text", TOWER, dict(ROUTED, num_hidden_layers=3, first_k_dense_replace=1,
        rope_parameters=dict(MROPE, mrope_section=[1, 2, 1], partial_rotary_factor=0.5)), **GLM_TOKENS)
wrapper("glm_ocr", "glm_ocr_text", TOWER, dict(rope_parameters=dict(MROPE, mrope_section=[2, 3, 3])), **GLM_TOKENS)
wrapper("qwen2_vl", "qwen2_vl_text", dict(depth=1, embed_dim=16, hidden_size=64, num_heads=2),
        dict(rope_parameters=dict(MROPE, mrope_section=[2, 3, 3])), **TOKENS)
wrapper("qwen2_5_vl", "qwen2_5_vl_text", TOWER, dict(rope_parameters=dict(MROPE, mrope_section=[2, 3, 3])), **TOKENS)
wrapper("qwen3_vl", "qwen3_vl_text", dict(TOWER, num_position_embeddings=16, deepstack_visual_indexes=[0]),
        dict(head_dim=16, rope_parameters=dict(MROPE, mrope_section=[4, 2, 2])), **TOKENS)
wrapper("qwen3_vl_moe", "qwen3_vl_moe_text", dict(TOWER, num_position_embeddings=16, deepstack_visual_indexes=[0]),
        dict(head_dim=16, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=24, mlp_only_layers=[1],
             num_hidden_layers=3, rope_parameters=dict(MROPE, mrope_section=[4, 2, 2])), **TOKENS)
wrapper("qwen3_5", "qwen3_5_text", dict(TOWER, num_position_embeddings=16), CONFIGS["qwen3_5_text"]["config"],
        **TOKENS)
wrapper("qwen3_5_moe", "qwen3_5_moe_text", dict(TOWER, num_position_embeddings=16),
        CONFIGS["qwen3_5_moe_text"]["config"], **TOKENS)
wrapper("mistral3", "mistral", AXIAL, dict(head_dim=16, sliding_window=None), image_token_index=250)
wrapper("mistral3__ministral3", "ministral3", AXIAL, dict(head_dim=16), model_type="mistral3", image_token_index=250)
wrapper("llava", "llama", SIGLIP, image_token_index=250, image_seq_length=4)
wrapper("llava__qwen2", "qwen2", SIGLIP, dict(num_attention_heads=8), model_type="llava", image_token_index=250)
wrapper("internvl", "qwen2", dict(SIGLIP, image_size=[28, 28], patch_size=[14, 14]), image_token_id=250)
wrapper("exaone4_5", "exaone4", dict(TOWER, num_key_value_heads=2, fullatt_block_indexes=[0]), dict(num_hidden_layers=4,
        sliding_window=8, sliding_window_pattern=4), image_token_id=250, video_token_id=251)
wrapper("lfm2_vl", "lfm2", dict(SIGLIP, image_size=..., num_patches=16), CONFIGS["lfm2"]["config"], image_token_id=250,
        projector_hidden_size=16)
wrapper("mllama", "mllama_text_model", dict(SIGLIP, num_attention_heads=..., attention_heads=2, num_global_layers=1,
        intermediate_layers_indices=[0], vision_output_dim=32, max_num_tiles=1, supported_aspect_ratios=[[1, 1]]),
        dict(num_hidden_layers=4, cross_attention_layers=[2]), image_token_index=250)
wrapper("muse_glimmer", "muse_glimmer_text", dict(SIGLIP, image_size=..., pos_emb_height=4, pos_emb_width=4),
        dict(num_hidden_layers=4, head_dim=16, sliding_window=8, layer_rope_theta=[10000.0] * 3 + [0],
             layer_types=["sliding_attention"] * 3 + ["full_attention"], output_multiplier=0.75),
        image_token_id=250, video_token_id=251, out_hidden_size=64, projector_hidden_size=16)
wrapper("minimax_m3_vl", "minimax_m3_vl_text", SIGLIP, CONFIGS["minimax_m3_vl_text"]["config"], image_token_index=250,
        video_token_index=251, projector_hidden_size=16, merged_hidden_size=64)
wrapper("smolvlm", "llama", SIGLIP, image_token_id=250)
wrapper("ovis2", "qwen2", dict(SIGLIP, vocab_size=32), vocab_size=256, hidden_size=64, image_token_id=250,
        visual_indicator_token_ids=[251, 252, 253, 254, 255])
wrapper("voxtral", "llama", dict(SIGLIP, image_size=..., patch_size=..., num_mel_bins=8, max_source_positions=8),
        dict(head_dim=16), tower="audio_config", cls="VoxtralForConditionalGeneration", audio_token_id=250)
wrapper("deepseek_vl", "llama", SIGLIP, image_token_id=250)
wrapper("kimi_k25", "deepseek_v3", dict(SIGLIP, image_size=..., pos_emb_height=4, pos_emb_width=4),
        CONFIGS["deepseek_v3"]["config"], **TOKENS)
wrapper("glm5_next", "glm5_next_text", TOWER, dict(ROUTED, num_hidden_layers=4, num_key_value_heads=4, q_lora_rank=32,
        kv_lora_rank=16, v_head_dim=12, qk_nope_head_dim=16, index_topk=8, index_head_dim=16, index_n_heads=16,
        linear_head_dim=16, linear_num_heads=4, hc_mult=2, index_kpool=4, layer_types=["linear_attention"] * 3 +
        ["indexed_attention"], mlp_layer_types=["dense"] + ["sparse"] * 3), **GLM_TOKENS)
wrapper("cohere_compass", "cohere_compass_text", dict(TOWER, num_position_embeddings=16, deepstack_visual_indexes=[0]),
        dict(head_dim=16, logit_scale=0.25, sliding_window=8, layer_types=["sliding_attention", "full_attention"],
             rope_parameters=dict(sliding_attention=rope(), full_attention=rope(theta=50000.0))), **TOKENS)
wrapper("hunyuan_vl", "hunyuan_vl_text", dict(SIGLIP, image_size=..., num_key_value_heads=2, out_hidden_size=64,
        text_hidden_size=64), dict(head_dim=16, rope_parameters=dict(MROPE, mrope_section=[2, 2, 2, 2])),
        image_token_id=250, im_start_id=251, im_end_id=252, im_newline_id=253)
wrapper("ernie4_5_vl_moe", "ernie4_5_vl_moe_text", dict(TOWER, out_hidden_size=...), dict(num_hidden_layers=3,
        moe_num_experts=8, moe_k=3, moe_intermediate_size=[24, 16], rope_parameters=dict(MROPE,
        mrope_section=[3, 3, 2])), **GLM_TOKENS)
wrapper("deepseek_ocr2", "deepseek_ocr2_text", dict(sam_config=dict(hidden_size=16, output_channels=16,
        num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16, mlp_dim=16), encoder_config=dict(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2)),
        dict(ROUTED, n_shared_experts=2, num_key_value_heads=4, head_dim=16, num_hidden_layers=3,
             mlp_layer_types=["dense", "sparse", "sparse"]), image_token_id=250)
wrapper("minicpmv4_6", "qwen3_5_text", dict(SIGLIP, insert_layer_id=0), CONFIGS["qwen3_5_text"]["config"],
        image_token_id=250, video_token_id=251, insert_layer_id=0)
wrapper("qwen2_audio", "qwen2", dict(num_mel_bins=8, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=24,
        d_model=16, max_source_positions=8), tower="audio_config", cls="Qwen2AudioForConditionalGeneration",
        audio_token_index=250)
wrapper("glmasr", "llama", dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_mel_bins=8), tower="audio_config", cls="GlmAsrForConditionalGeneration",
        audio_token_id=250)
wrapper("qwen4_exp", "qwen4_exp_text", dict(TOWER, num_position_embeddings=16), CONFIGS["qwen4_exp_text"]["config"],
        **TOKENS)
wrapper("internvl__qwen3_moe", "qwen3_moe", dict(SIGLIP, image_size=[28, 28], patch_size=[14, 14]),
        CONFIGS["qwen3_moe"]["config"], model_type="internvl", image_token_id=250)
wrapper("paligemma", "gemma", SIGLIP, dict(head_dim=32), image_token_id=250, projection_dim=64)
wrapper("idefics3", "llama", SIGLIP, image_token_id=250)
wrapper("aya_vision", "cohere2", SIGLIP, CONFIGS["cohere2"]["config"], image_token_index=250)
wrapper("glm46v", "glm4v_text", TOWER, CONFIGS["glm4v"]["config"]["text_config"], **GLM_TOKENS)
add("mllama_text_model", cls="MllamaForCausalLM", num_hidden_layers=4, cross_attention_layers=[2])


def omni(text_type, vision, text, **audio):
    """A model that also speaks: what thinks is its thinker, a model as those above; the rest is left out."""
    audio = dict(num_mel_bins=8, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=24, d_model=16,
                 max_source_positions=8, output_dim=64, **audio)
    thinker = dict(text_config={**BASE, **text, "model_type": text_type}, vision_config=vision, audio_config=audio)
    return dict(enable_audio_output=False, thinker_config=thinker)


add("qwen2_5_omni", base={}, cls="Qwen2_5OmniForConditionalGeneration.thinker", **omni(
    "qwen2_5_omni_text", TOWER, dict(rope_parameters=dict(MROPE, mrope_section=[2, 3, 3]))))
add("qwen3_omni_moe", base={}, cls="Qwen3OmniMoeForConditionalGeneration.thinker", **omni(
    "qwen3_omni_moe_text", dict(TOWER, num_position_embeddings=16, deepstack_visual_indexes=[0]),
    dict(EXPERTS, head_dim=16, moe_intermediate_size=24, rope_parameters=dict(MROPE, mrope_section=[4, 2, 2])),
    downsample_hidden_size=8))
add("qwen2_5_omni_thinker", base={}, cls="Qwen2_5OmniThinkerForConditionalGeneration",
    **CONFIGS["qwen2_5_omni"]["config"]["thinker_config"])
add("qwen3_omni_moe_thinker", base={}, cls="Qwen3OmniMoeThinkerForConditionalGeneration",
    **CONFIGS["qwen3_omni_moe"]["config"]["thinker_config"])
wrapper("idefics2", "mistral", SIGLIP, dict(sliding_window=8), image_token_id=250)

# ---- features in combinations: odd sizes, groups of 3 and 5, biases, ties, windows, every scaling of rope ----
ODD = dict(vocab_size=101, hidden_size=60, intermediate_size=84, num_attention_heads=5, num_key_value_heads=1,
           head_dim=12)
LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
YARN = rope("yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=16.0, beta_slow=2.0)
LINEAR = rope("linear", factor=4.0)
DYNAMIC = rope("dynamic", factor=2.0)
DEEP = dict(num_key_value_heads=4, **ROUTED, **MLA)
YARN_MLA = rope("yarn", factor=8.0, original_max_position_embeddings=16, beta_fast=32, beta_slow=1, mscale=0.7,
                mscale_all_dim=0.4)


def longrope(half, **more):
    return rope("longrope", long_factor=[1 + 0.25 * i for i in range(half)],
                short_factor=[1 + 0.05 * i for i in range(half)], original_max_position_embeddings=16, **more)


add("llama__odd_bias", "llama", **ODD, attention_bias=True, mlp_bias=True)
add("llama__mha_tied_gelu", "llama", num_key_value_heads=4, tie_word_embeddings=True, hidden_act="gelu_pytorch_tanh")
add("llama__groups_of_3", "llama", **dict(ODD, num_attention_heads=6, num_key_value_heads=2, head_dim=10,
    intermediate_size=50), rope_parameters=LLAMA3)
add("llama__longrope", "llama", rope_parameters=longrope(8))
add("llama__yarn_factor", "llama", rope_parameters=dict(YARN, attention_factor=0.8))
add("mistral__odd_no_window", "mistral", **ODD, sliding_window=None, tie_word_embeddings=True)
add("mistral__yarn", "mistral", rope_parameters=YARN, sliding_window=5)
add("qwen2__odd", "qwen2", **dict(ODD, head_dim=...), rope_parameters=LINEAR, tie_word_embeddings=True)
add("qwen2__yarn", "qwen2", num_key_value_heads=4, rope_parameters=YARN)
add("qwen2__dynamic", "qwen2", max_position_embeddings=16, rope_parameters=DYNAMIC)
add("qwen3__odd_bias", "qwen3", **ODD, attention_bias=True, rope_parameters=YARN)
add("qwen3__sliding_linear", "qwen3", num_hidden_layers=3, use_sliding_window=True, sliding_window=6,
    max_window_layers=1, rope_parameters=LINEAR)
add("phi3__tied_no_window", "phi3", **dict(ODD, head_dim=..., num_key_value_heads=5), tie_word_embeddings=True,
    sliding_window=None, original_max_position_embeddings=128)
add("phi3__partial", "phi3", partial_rotary_factor=0.5, original_max_position_embeddings=128)
add("phi__mha_odd", "phi", **dict(ODD, head_dim=...), partial_rotary_factor=0.5, tie_word_embeddings=True)
add("gemma2__odd_no_caps", "gemma2", **dict(ODD, num_attention_heads=6, num_key_value_heads=3), sliding_window=6,
    num_hidden_layers=3, query_pre_attn_scalar=12, attn_logit_softcapping=None, final_logit_softcapping=None)
add("gemma3_text__linear_untied", "gemma3_text", num_hidden_layers=4, **ODD, sliding_window=6,
    tie_word_embeddings=False, query_pre_attn_scalar=20, layer_types=["sliding_attention", "full_attention"] * 2,
    rope_parameters=dict(sliding_attention=rope(), full_attention=rope("linear", 1000000.0, factor=8.0)))
add("olmo2__odd_bias", "olmo2", **ODD, attention_bias=True, tie_word_embeddings=True)
add("olmo3__yarn", "olmo3", num_hidden_layers=4, sliding_window=6, num_key_value_heads=4,
    rope_parameters=dict(full_attention=YARN, sliding_attention=rope()))
add("olmo__no_clip_bias", "olmo", clip_qkv=None, attention_bias=True, num_key_value_heads=4)
add("granite__odd_bias", "granite", **dict(ODD, head_dim=...), **GRANITE, attention_bias=True, mlp_bias=True,
    tie_word_embeddings=False)
add("stablelm__parallel_bias", "stablelm", use_qkv_bias=True, use_parallel_residual=True, partial_rotary_factor=0.5,
    tie_word_embeddings=True)
add("starcoder2__no_bias", "starcoder2", sliding_window=None, use_bias=False, **dict(ODD, head_dim=...),
    tie_word_embeddings=False)
add("cohere__bias_odd", "cohere", **dict(ODD, num_attention_heads=6, num_key_value_heads=3, head_dim=...),
    attention_bias=True, logit_scale=0.5, use_qk_norm=True)
add("glm__no_bias", "glm", head_dim=20, attention_bias=False, partial_rotary_factor=0.4, tie_word_embeddings=True)
add("glm4__no_bias_yarn", "glm4", head_dim=16, attention_bias=False, rope_parameters=dict(YARN,
    partial_rotary_factor=0.5))
add("exaone4__llama3", "exaone4", num_hidden_layers=3, sliding_window=None, sliding_window_pattern=None,
    layer_types=["full_attention"] * 3, rope_parameters=LLAMA3, tie_word_embeddings=True)
add("smollm3__bias_window", "smollm3", num_hidden_layers=4, no_rope_layers=[1, 1, 0, 1], attention_bias=True,
    use_sliding_window=True, sliding_window=6, tie_word_embeddings=False)
add("nemotron__bias_full", "nemotron", **dict(ODD, num_attention_heads=6, num_key_value_heads=2),
    attention_bias=True, mlp_bias=True, partial_rotary_factor=1.0)
add("seed_oss__no_bias_linear", "seed_oss", head_dim=12, attention_bias=False, attention_out_bias=False,
    mlp_bias=True, rope_parameters=LINEAR)
add("ministral3__yarn_scaled", "ministral3", head_dim=16, sliding_window=6, rope_parameters=dict(YARN,
    llama_4_scaling_beta=0.1, mscale=1.0, mscale_all_dim=1.0))
add("hunyuan_v1_dense__dynamic_alpha", "hunyuan_v1_dense", head_dim=16, attention_bias=True,
    rope_parameters=rope("dynamic", alpha=1000.0, factor=1.0))
add("minicpm3__longrope", "minicpm3", num_key_value_heads=4, **MLA, v_head_dim=16, scale_emb=2, scale_depth=1.4,
    dim_model_base=32, rope_parameters=longrope(4))
add("gpt2__ffn_untied", "gpt2", base=GPT, n_inner=72, tie_word_embeddings=False, activation_function="gelu")
add("gpt2__scaled_layers", "gpt2", base=GPT, scale_attn_by_inverse_layer_idx=True, activation_function="relu")
add("gpt_bigcode__mha", "gpt_bigcode", base=GPT, multi_query=False)
add("gpt_neox__relu_full", "gpt_neox", base=IDS, hidden_size=60, num_hidden_layers=2, num_attention_heads=5,
    intermediate_size=84, max_position_embeddings=64, rope_parameters=rope(theta=25000.0, partial_rotary_factor=1.0),
    hidden_act="relu", attention_bias=False, tie_word_embeddings=True)
add("gptj__full_rotary", "gptj", base=IDS, n_positions=64, n_embd=60, n_layer=2, n_head=5, rotary_dim=12, n_inner=84)
add("opt__no_bias_gelu", "opt", base=OPT, ffn_dim=96, word_embed_proj_dim=64, enable_bias=False,
    activation_function="gelu")
add("bloom__6_heads", "bloom", base=IDS, hidden_size=60, n_layer=2, n_head=6, pad_token_id=0)
add("falcon__one_norm_bias", "falcon", base=dict(FALCON, hidden_size=60, num_attention_heads=6),
    new_decoder_architecture=True, num_kv_heads=3, bias=True, alibi=False, num_ln_in_parallel_attn=1,
    parallel_attn=True)
add("mpt__6_heads_bias", "mpt", base=IDS, d_model=60, n_heads=6, n_layers=2, expansion_ratio=2, max_seq_len=64,
    no_bias=True, attn_config=dict(alibi=True, clip_qkv=None, qk_ln=False, softmax_scale=0.4))
add("persimmon__no_qk_norm", "persimmon", num_key_value_heads=..., qk_layernorm=False, partial_rotary_factor=0.25,
    hidden_act="gelu", tie_word_embeddings=True)

add("olmoe__odd", "olmoe", **dict(ODD, head_dim=..., intermediate_size=28), num_experts=5, num_experts_per_tok=2,
    attention_bias=True)
add("qwen2_moe__norm_step2", "qwen2_moe", num_hidden_layers=4, **EXPERTS, **SHARED, norm_topk_prob=True,
    decoder_sparse_step=2, qkv_bias=False, tie_word_embeddings=True)
add("qwen3_moe__no_norm_dense", "qwen3_moe", num_hidden_layers=3, head_dim=16, num_experts=6, num_experts_per_tok=4,
    moe_intermediate_size=20, norm_topk_prob=False, mlp_only_layers=[0], attention_bias=True, rope_parameters=YARN)
add("mixtral__window_top1", "mixtral", intermediate_size=40, num_local_experts=4, num_experts_per_tok=1,
    sliding_window=6, head_dim=20, rope_parameters=LINEAR)
add("deepseek_v2__dense_yarn", "deepseek_v2", num_hidden_layers=3, **dict(DEEP, n_shared_experts=3),
    v_head_dim=12, first_k_dense_replace=2, n_group=1, topk_group=1, rope_parameters=YARN_MLA)
add("deepseek_v2__no_dense", "deepseek_v2", **dict(DEEP, q_lora_rank=None), v_head_dim=16, first_k_dense_replace=0,
    n_group=1, topk_group=1, attention_bias=True)
add("deepseek_v3__no_dense_half", "deepseek_v3", **dict(DEEP, q_lora_rank=None, n_shared_experts=2), v_head_dim=20,
    first_k_dense_replace=0, n_group=1, topk_group=1, norm_topk_prob=False, rope_interleave=False,
    routed_scaling_factor=1.0)
add("deepseek_v3__bias_2_dense", "deepseek_v3", num_hidden_layers=4, **DEEP, v_head_dim=12, first_k_dense_replace=2,
    n_group=2, topk_group=1, attention_bias=True, tie_word_embeddings=True, rope_parameters=YARN_MLA)
add("glm4_moe__no_bias_groups", "glm4_moe", num_hidden_layers=3, head_dim=16, **dict(ROUTED, n_shared_experts=2),
    first_k_dense_replace=0, n_group=4, topk_group=2, use_qk_norm=False, attention_bias=False, norm_topk_prob=False)
add("glm4_moe_lite__odd", "glm4_moe_lite", num_hidden_layers=3, num_key_value_heads=4, **ROUTED,
    first_k_dense_replace=1, n_group=2, topk_group=1, q_lora_rank=24, kv_lora_rank=20, qk_nope_head_dim=12,
    qk_rope_head_dim=4, v_head_dim=20)
add("gpt_oss__odd", "gpt_oss", **dict(ODD, intermediate_size=28), num_local_experts=6, num_experts_per_tok=2,
    sliding_window=5, num_hidden_layers=3)
add("llama4_text__top1_no_norm", "llama4_text", intermediate_size=28, num_hidden_layers=3, intermediate_size_mlp=52,
    head_dim=16, num_local_experts=4, num_experts_per_tok=1, interleave_moe_layer_step=1, use_qk_norm=False,
    attention_chunk_size=6, attn_temperature_tuning=False, no_rope_layers=[1, 0, 1])
add("llama4_text__top2", "llama4_text", intermediate_size=28, intermediate_size_mlp=52, head_dim=16,
    num_local_experts=4, num_experts_per_tok=2, interleave_moe_layer_step=2, attention_chunk_size=6)
add("granitemoe__odd_bias", "granitemoe", **dict(ODD, intermediate_size=28, head_dim=...), num_local_experts=6,
    num_experts_per_tok=2, **GRANITE, attention_bias=True)
add("granitemoehybrid__dense_nope", "granitemoehybrid", num_hidden_layers=3, num_local_experts=0,
    num_experts_per_tok=0, shared_intermediate_size=72, layer_types=["mamba", "mamba", "attention"],
    **dict(MAMBA, mamba_n_groups=1), **GRANITE, position_embedding_type="nope")
add("hunyuan_v1_moe__no_qk_norm", "hunyuan_v1_moe", intermediate_size=28, head_dim=16, num_experts=4,
    moe_topk=[1, 3], moe_intermediate_size=[28, 28], num_shared_expert=[2, 1], use_qk_norm=False, attention_bias=True)
add("ernie4_5_moe__bias_interval", "ernie4_5_moe", num_hidden_layers=4, moe_num_experts=8, moe_k=2,
    moe_intermediate_size=20, moe_num_shared_experts=1, moe_layer_start_index=1, moe_layer_end_index=3,
    moe_layer_interval=2, use_bias=True, tie_word_embeddings=False)
add("dots1__no_norm", "dots1", num_hidden_layers=3, head_dim=16, **dict(ROUTED, n_shared_experts=2),
    first_k_dense_replace=2, n_group=1, topk_group=1, norm_topk_prob=False, attention_bias=True,
    routed_scaling_factor=1.0)
add("minimax_m2__groups_of_4", "minimax_m2", intermediate_size=24, head_dim=16, num_key_value_heads=1,
    num_local_experts=5, num_experts_per_tok=2, rotary_dim=8, tie_word_embeddings=True)
add("lfm2_moe__no_bias_norm", "lfm2_moe", num_hidden_layers=4, **EXPERTS, moe_intermediate_size=24, num_dense_layers=2,
    layer_types=["conv", "full_attention", "conv", "full_attention"], conv_L_cache=4, conv_bias=True,
    use_expert_bias=False, norm_topk_prob=False, routed_scaling_factor=1.5)
add("phimoe__longrope", "phimoe", intermediate_size=40, num_local_experts=6, num_experts_per_tok=2,
    attention_bias=False, lm_head_bias=False, rope_parameters=longrope(8, short_mscale=1.1, long_mscale=1.2))
add("mamba__no_bias", "mamba", base=IDS, hidden_size=60, state_size=6, num_hidden_layers=2, conv_kernel=3, expand=2,
    time_step_rank=5, use_bias=True, use_conv_bias=False, pad_token_id=0, tie_word_embeddings=False)
add("mamba2__one_group_bias", "mamba2", base=IDS, hidden_size=48, num_heads=6, head_dim=16, state_size=12, n_groups=1,
    num_hidden_layers=2, conv_kernel=3, expand=2, chunk_size=5, pad_token_id=0, use_bias=True, norm_before_gate=False,
    tie_word_embeddings=True)
add("nemotron_h__latent", "nemotron_h", num_hidden_layers=4, layers_block_type=["mamba", "moe", "attention", "moe"],
    head_dim=12, **dict(NEMOTRON, n_groups=1), n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=24,
    moe_shared_expert_intermediate_size=40, n_shared_experts=1, n_group=4, topk_group=2, routed_scaling_factor=1.5,
    norm_topk_prob=False, moe_latent_size=20, mlp_bias=False, use_bias=True, attention_bias=True)
add("falcon_h1__norm_before_gate", "falcon_h1", head_dim=16, **dict(MAMBA, mamba_n_groups=1), mamba_d_ssm=128,
    mamba_rms_norm=True, mamba_norm_before_gate=True, attention_bias=True, mlp_bias=True, mamba_proj_bias=True,
    projectors_bias=True)
add("falcon_h1__no_norm", "falcon_h1", head_dim=16, **MAMBA, mamba_d_ssm=128, mamba_rms_norm=False, key_multiplier=0.5,
    tie_word_embeddings=True)
add("qwen3_next__no_norm_step2", "qwen3_next", num_hidden_layers=4, head_dim=12, linear_num_key_heads=3,
    linear_num_value_heads=3, linear_key_head_dim=8, linear_value_head_dim=16, linear_conv_kernel_dim=3, **EXPERTS,
    **SHARED, decoder_sparse_step=2, norm_topk_prob=False, partial_rotary_factor=0.5, attention_bias=True,
    layer_types=["linear_attention", "full_attention"] * 2)
add("lfm2__adjusted_ff", "lfm2", num_hidden_layers=3, full_attn_idxs=[0, 2], conv_L_cache=4, conv_bias=True,
    block_auto_adjust_ff_dim=True, block_multiple_of=12, block_ffn_dim_multiplier=1.5)
add("jamba__no_experts_bias", "jamba", num_hidden_layers=3, attn_layer_period=3, attn_layer_offset=2,
    expert_layer_period=2, expert_layer_offset=1, num_experts=1, num_experts_per_tok=1, mamba_d_state=6,
    mamba_d_conv=3, mamba_expand=2, mamba_dt_rank=5, use_mamba_kernels=False, mamba_proj_bias=True,
    tie_word_embeddings=True)


# ---- models whose own code is not in transformers ----
# The same layers exist there under another model type: base, with base_config, is built from it and carries the
# weights; rename (old, new: in turn, on base's tensor names) and qkv give the names on disk, config what config.json
# holds on the hub.  qkv: (module, layout): q, k and v stored as one, one after the other ("cat"), or in each group of
# keys its queries, its key and its value ("group"), or k and v so ("kv").  Experts are stored one by one, towers not at
# all.  patch: what base lacks, done by make_arch.py.  cls: as in CONFIGS.
REBUILT = {}


def rebuilt(name, model_type, base, base_config, config, rename=(), qkv=None, patch=None, cls="AutoModelForCausalLM"):
    if "text_config" not in base_config:
        base_config = strip({**BASE, **base_config})
    REBUILT[name] = dict(model_type=model_type, base=base, base_config=base_config, rename=rename, qkv=qkv, patch=patch,
                         cls=cls, config=dict(config, model_type=model_type))


def hub(architecture, **more):
    """The keys of a llama-like config.json as hub checkpoints spell them."""
    return dict(dict(vocab_size=256, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                     max_position_embeddings=128, rms_norm_eps=1e-6, rope_theta=10000.0, hidden_act="silu",
                     tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, torch_dtype="float32",
                     architectures=[architecture]), **more)


def deepseek(name, patch, base_config={}, **more):
    config = hub("DeepseekForCausalLM", num_hidden_layers=3, num_key_value_heads=4, moe_intermediate_size=32,
                 n_routed_experts=8, n_shared_experts=2, num_experts_per_tok=3, first_k_dense_replace=1,
                 moe_layer_freq=1, norm_topk_prob=False, scoring_func="softmax", aux_loss_alpha=0.001, seq_aux=True,
                 rope_scaling=None, attention_bias=False)
    config.update(more)
    rebuilt(name, "deepseek", "llama", dict(num_key_value_heads=4, num_hidden_layers=config["num_hidden_layers"],
                                            **base_config), config, patch=patch)


MHA = dict(num_key_value_heads=4)
GPT_NAMES = (("model.embed_tokens", "transformer.wte"), ("model.layers", "transformer.h"),
             ("model.norm", "transformer.ln_f"), ("post_attention_layernorm", "ln_2"), ("input_layernorm", "ln_1"))

deepseek("deepseek", "deepseek_moe")
deepseek("deepseek__norm_topk", "deepseek_moe", norm_topk_prob=True)
deepseek("deepseek__freq2_dense2", "deepseek_moe", num_hidden_layers=5, first_k_dense_replace=2, moe_layer_freq=2,
         n_shared_experts=3)
rebuilt("internlm2", "internlm2", "llama", {},
        hub("InternLM2ForCausalLM", num_key_value_heads=2, bias=False, rope_scaling=dict(type="dynamic", factor=2.0)),
        (("model.embed_tokens", "model.tok_embeddings"), ("lm_head", "output"), ("self_attn.o_proj", "attention.wo"),
         ("self_attn", "attention"), ("mlp.gate_proj", "feed_forward.w1"), ("mlp.up_proj", "feed_forward.w3"),
         ("mlp.down_proj", "feed_forward.w2"), ("input_layernorm", "attention_norm"),
         ("post_attention_layernorm", "ffn_norm")), ("wqkv", "group"))
rebuilt("internlm2__dynamic", "internlm2", "llama",
        dict(max_position_embeddings=16, rope_parameters=rope("dynamic", factor=2.0), num_attention_heads=6,
             num_key_value_heads=2, head_dim=10, hidden_size=60),
        hub("InternLM2ForCausalLM", num_attention_heads=6, num_key_value_heads=2, hidden_size=60, bias=False,
            max_position_embeddings=16, rope_scaling=dict(type="dynamic", factor=2.0)),
        REBUILT["internlm2"]["rename"], ("wqkv", "group"))
rebuilt("internlm", "internlm", "llama", dict(MHA, attention_bias=True), hub("InternLMForCausalLM", bias=True))
rebuilt("baichuan", "baichuan", "llama", MHA, hub("BaiChuanForCausalLM"), (), ("W_pack", "cat"))
# NormHead: the rows of lm_head are scaled to length 1.  Baichuan 2's own code always does it, Baichuan 1's never;
# their config.json differ in vocab_size and in z_loss_weight.
rebuilt("baichuan__2_normhead", "baichuan", "llama", MHA, hub("BaichuanForCausalLM", z_loss_weight=0), (),
        ("W_pack", "cat"), patch="normhead")
# The 13B models have no rope but alibi, and model_max_length in place of max_position_embeddings.
rebuilt("baichuan__13b_alibi", "baichuan", "llama", MHA,
        {key: value for key, value in hub("BaichuanForCausalLM", model_max_length=128).items()
         if key not in ("max_position_embeddings", "rope_theta")}, (), ("W_pack", "cat"), patch="alibi")
rebuilt("minicpm", "minicpm", "granite",
        dict(embedding_multiplier=12.0, residual_multiplier=1.4 / 2 ** 0.5, attention_multiplier=0.25,
             logits_scaling=64 / 32, tie_word_embeddings=True),
        hub("MiniCPMForCausalLM", num_key_value_heads=2, scale_emb=12.0, scale_depth=1.4, dim_model_base=32,
            tie_word_embeddings=True))
# w1 multiplies, w2 goes through silu; intermediate_size is twice the width
rebuilt("qwen", "qwen", "qwen2", dict(MHA, tie_word_embeddings=False),
        dict(architectures=["QWenLMHeadModel"], vocab_size=256, hidden_size=64, num_hidden_layers=2,
             num_attention_heads=4, kv_channels=16, intermediate_size=192, layer_norm_epsilon=1e-6,
             rotary_emb_base=10000, rotary_pct=1.0, seq_length=128, max_position_embeddings=128, no_bias=True,
             use_dynamic_ntk=True, use_logn_attn=True, tie_word_embeddings=False, scale_attn_weights=True),
        GPT_NAMES + (("self_attn.o_proj", "attn.c_proj"), ("self_attn", "attn"), ("mlp.down_proj", "mlp.c_proj"),
                     ("mlp.gate_proj", "mlp.w2"), ("mlp.up_proj", "mlp.w1")), ("c_attn", "cat"))
rebuilt("exaone", "exaone", "llama", {},
        dict(architectures=["ExaoneForCausalLM"], vocab_size=256, hidden_size=64, num_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16, intermediate_size=96, layer_norm_epsilon=1e-6, rope_theta=10000.0,
             activation_function="silu", max_position_embeddings=128, tie_word_embeddings=False),
        GPT_NAMES + (("self_attn.o_proj", "attn.attention.out_proj"), ("self_attn", "attn.attention"),
                     ("mlp.down_proj", "mlp.c_proj"), ("mlp.gate_proj", "mlp.c_fc_0"), ("mlp.up_proj", "mlp.c_fc_1")))
rebuilt("chatglm", "chatglm", "glm", dict(head_dim=16, attention_bias=True, tie_word_embeddings=False),
        dict(architectures=["ChatGLMModel"], padded_vocab_size=256, hidden_size=64, num_layers=2,
             num_attention_heads=4, kv_channels=16, multi_query_attention=True, multi_query_group_num=2,
             ffn_hidden_size=96, layernorm_epsilon=1.5625e-07, add_qkv_bias=True, add_bias_linear=False, rmsnorm=True,
             post_layer_norm=True, apply_residual_connection_post_layernorm=False, rope_ratio=1, seq_length=128,
             tie_word_embeddings=False),
        (("model.embed_tokens", "transformer.embedding.word_embeddings"),
         ("model.layers", "transformer.encoder.layers"), ("model.norm", "transformer.encoder.final_layernorm"),
         ("lm_head", "transformer.output_layer"),
         ("self_attn.o_proj", "self_attention.dense"), ("self_attn", "self_attention"),
         ("mlp.gate_up_proj", "mlp.dense_h_to_4h"), ("mlp.down_proj", "mlp.dense_4h_to_h")), ("query_key_value", "cat"))
# masked diffusion: every token sees every token
rebuilt("Dream", "Dream", "qwen2", dict(tie_word_embeddings=False),
        hub("DreamModel", num_key_value_heads=2, mask_token_id=255), patch="bidirectional")
rebuilt("llada", "llada", "llama", MHA,
        dict(architectures=["LLaDAModelLM"], vocab_size=256, embedding_size=256, d_model=64, n_layers=2, n_heads=4,
             n_kv_heads=4, mlp_hidden_size=96, rms_norm_eps=1e-6, rope_theta=10000.0, rope=True, block_type="llama",
             layer_norm_type="rms", activation_type="silu", include_bias=False, weight_tying=False,
             max_sequence_length=128, mask_token_id=255),
        (("model.embed_tokens", "model.transformer.wte"), ("model.layers", "model.transformer.blocks"),
         ("model.norm", "model.transformer.ln_f"), ("lm_head", "model.transformer.ff_out"),
         ("self_attn.o_proj", "attn_out"), ("self_attn.", ""), ("mlp.gate_proj", "ff_proj"), ("mlp.up_proj", "up_proj"),
         ("mlp.down_proj", "ff_out"), ("post_attention_layernorm", "ff_norm"), ("input_layernorm", "attn_norm")),
        patch="bidirectional")
rebuilt("bailing_moe", "bailing_moe", "llama", dict(num_hidden_layers=3, num_key_value_heads=2, attention_bias=False),
        hub("BailingMoeForCausalLM", num_hidden_layers=3, num_key_value_heads=2, head_dim=16, moe_intermediate_size=24,
            num_experts=8, num_shared_experts=2, num_experts_per_tok=3, first_k_dense_replace=1, norm_topk_prob=True,
            use_bias=False, use_qkv_bias=False, norm_head=False, rope_scaling=None),
        (("model.embed_tokens", "model.word_embeddings"), ("self_attn.o_proj", "attention.dense"),
         ("self_attn", "attention")), ("query_key_value", "cat"), patch="deepseek_moe")
# as on the hub; transformers wants more packages for its towers
TEXT_3N = dict(CONFIGS["gemma3n_text"]["config"], rms_norm_eps=1e-6, hidden_activation="gelu_pytorch_tanh")
rebuilt("gemma3n", "gemma3n", "gemma3n_text", TEXT_3N,
        dict(architectures=["Gemma3nForConditionalGeneration"], text_config=dict(TEXT_3N, model_type="gemma3n_text"),
             vision_config={}, audio_config={}), (("model.", "model.language_model."),))
rebuilt("minicpmv", "minicpmv", "qwen2", dict(tie_word_embeddings=False),
        hub("MiniCPMV", num_key_value_heads=2, version=2.6), (("model.", "llm.model."), ("lm_head.", "llm.lm_head.")))

# ---- more of them; names and keys of these are those that their descriptions tell ----
def text_in(architecture, key, text_type, text={}, **more):
    """config.json with the text model's part under key."""
    config = dict(hub(architecture, **{"num_key_value_heads": 2, **text}), model_type=text_type)
    return dict(architectures=config.pop("architectures"), **{key: config}, **more)


def under(prefix, head="lm_head"):
    """The names of a text model within another."""
    return (("model.", prefix + "."), ("lm_head.", head + "."))


UNTIED = dict(tie_word_embeddings=False)
QWEN3 = dict(head_dim=16, tie_word_embeddings=False)
QWEN3_MOE = dict(num_hidden_layers=3, head_dim=16, **EXPERTS, moe_intermediate_size=24, norm_topk_prob=True,
                 decoder_sparse_step=2, mlp_only_layers=[])
QWEN3_5 = dict(num_hidden_layers=3, head_dim=16, **GDN, layer_types=HYBRID)
QWEN3_NEXT = dict(QWEN3_5, **EXPERTS, **SHARED, decoder_sparse_step=1, norm_topk_prob=True, mlp_only_layers=[])
BAILING_2 = dict(num_hidden_layers=3, num_key_value_heads=2, head_dim=16, moe_intermediate_size=24, num_experts=8,
                 num_shared_experts=1, num_experts_per_tok=3, first_k_dense_replace=1, n_group=4, topk_group=2,
                 norm_topk_prob=True, routed_scaling_factor=2.5, partial_rotary_factor=0.5, rotary_dim=8,
                 score_function="sigmoid", moe_router_enable_expert_bias=True, use_qk_norm=True, use_bias=False,
                 use_qkv_bias=False, rope_scaling=None)
BAILING_2_BASE = dict(ROUTED, num_hidden_layers=3, head_dim=16, moe_intermediate_size=24, first_k_dense_replace=1,
                      n_group=4, topk_group=2, routed_scaling_factor=2.5, norm_topk_prob=True, use_qk_norm=True,
                      attention_bias=False, rms_norm_eps=1e-6, rope_parameters=rope(partial_rotary_factor=0.5))
BAILING_2_NAMES = (("model.embed_tokens", "model.word_embeddings"), ("self_attn.o_proj", "attention.dense"),
                   ("self_attn.q_norm", "attention.query_layernorm"), ("self_attn.k_norm", "attention.key_layernorm"),
                   ("self_attn", "attention"), ("gate.e_score_correction_bias", "gate.expert_bias"))
rebuilt("mobilellm", "mobilellm", "llama", dict(tie_word_embeddings=True),
        hub("MobileLLMForCausalLM", num_key_value_heads=2, share_embedding=True, layer_sharing=False))
rebuilt("instella", "instella", "olmo2", dict(rms_norm_eps=1e-6), hub("InstellaForCausalLM", num_key_value_heads=2),
        (("post_attention_layernorm", "pre_attention_layernorm"),
         ("post_feedforward_layernorm", "pre_feedforward_layernorm")), patch="norms_before")
rebuilt("deci", "deci", "llama", {}, hub("DeciLMForCausalLM", num_key_value_heads_per_layer=[2, 1]), patch="kv_heads")
rebuilt("telechat", "telechat", "llama", {},
        dict(architectures=["TelechatForCausalLM"], vocab_size=256, hidden_size=64, n_layer=2, n_head=4,
             num_key_value_heads=2, ffn_hidden_size=96, layer_norm_epsilon=1e-6, base_seqlen=128, training_seqlen=128,
             seq_length=128, logn=False, embed_layernorm=False, apply_residual_connection_post_layernorm=False,
             tie_word_embeddings=False),
        (("model.embed_tokens", "transformer.word_embeddings"), ("model.layers", "transformer.h"),
         ("model.norm", "transformer.ln_f"), ("self_attn.o_proj", "self_attention.dense"),
         ("self_attn.q_proj", "self_attention.query"), ("self_attn", "self_attention")), ("key_value", "kv"),
        patch="output_bias")
rebuilt("phi4mm", "phi4mm", "phi3",
        dict(tie_word_embeddings=True, rms_norm_eps=1e-6, original_max_position_embeddings=64,
             rope_parameters=rope("longrope", partial_rotary_factor=0.75, long_factor=[1.0, 1.3, 1.6, 1.9, 2.2, 2.5],
                                  short_factor=[1.0, 1.05, 1.1, 1.15, 1.2, 1.25],
                                  original_max_position_embeddings=64)),
        hub("Phi4MMForCausalLM", num_key_value_heads=2, tie_word_embeddings=True, partial_rotary_factor=0.75,
            original_max_position_embeddings=64, sliding_window=None,
            rope_scaling=dict(type="longrope", long_factor=[1.0, 1.3, 1.6, 1.9, 2.2, 2.5],
                              short_factor=[1.0, 1.05, 1.1, 1.15, 1.2, 1.25])),
        tuple((name, name + ".base_layer") for name in ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")))
rebuilt("openvla", "openvla", "llama", {},
        text_in("OpenVLAForActionPrediction", "text_config", "llama", use_fused_vision_backbone=True),
        under("language_model.model", "language_model.lm_head"))
rebuilt("ovis", "ovis", "qwen2", UNTIED, text_in("Ovis", "llm_config", "qwen2", visual_tokenizer_config={}),
        under("llm.model", "llm.lm_head"))
rebuilt("ovis2_5", "ovis2_5", "qwen3", QWEN3,
        text_in("Ovis2_5", "llm_config", "qwen3", dict(head_dim=16), visual_vocab_size=64),
        under("llm.model", "llm.lm_head"))
rebuilt("mage_vl", "mage_vl", "qwen3", QWEN3,
        text_in("MageVLForConditionalGeneration", "text_config", "qwen3", dict(head_dim=16), vision_config={}),
        under("model.language_model"))
rebuilt("locateanything", "locateanything", "qwen2", UNTIED,
        text_in("LocateAnythingForConditionalGeneration", "text_config", "qwen2", vision_config={}),
        under("language_model.model", "language_model.lm_head"))
APERTUS = dict(head_dim=16, hidden_act="xielu", output_vocab_size=240, qk_norm=True, post_norm=False,
               rope_scaling=dict(LLAMA3, rope_theta=...))
APERTUS_BASE = dict(head_dim=16, rms_norm_eps=1e-6, rope_parameters=LLAMA3, tie_word_embeddings=False)
rebuilt("apertus1p5", "apertus1p5", "apertus", APERTUS_BASE,
        strip(text_in("Apertus1p5ForConditionalGeneration", "text_config", "apertus1p5_text", APERTUS)),
        under("model.language_model"), patch="output_rows")
rebuilt("apertus1p5_text", "apertus1p5_text", "apertus", APERTUS_BASE,
        strip(hub("Apertus1p5ForCausalLM", num_key_value_heads=2, **APERTUS)), patch="output_rows")
rebuilt("cohere_compass_text", "cohere_compass_text", "cohere_compass", CONFIGS["cohere_compass"]["config"],
        dict(CONFIGS["cohere_compass"]["config"]["text_config"], architectures=["CohereCompassForCausalLM"],
             tie_word_embeddings=False), (("model.language_model.", "model."),), cls="AutoModelForImageTextToText")
rebuilt("interns1", "interns1", "qwen3_moe", dict(QWEN3_MOE, **UNTIED),
        text_in("InternS1ForConditionalGeneration", "text_config", "qwen3_moe", QWEN3_MOE, vision_config={}),
        under("model.language_model"))
rebuilt("ovis2_6_moe", "ovis2_6_moe", "qwen3_moe", dict(QWEN3_MOE, **UNTIED),
        text_in("Ovis2_6_Moe", "llm_config", "qwen3_moe", QWEN3_MOE, visual_vocab_size=64),
        under("llm.model", "llm.lm_head"))
DEEP_VL = dict(DEEP, num_hidden_layers=3, q_lora_rank=None, v_head_dim=24, first_k_dense_replace=1, n_group=4,
               topk_group=2, routed_scaling_factor=2.0, norm_topk_prob=True)
rebuilt("deepseek_vl_v2", "deepseek_vl_v2", "deepseek_v3", dict(DEEP_VL, **UNTIED),
        text_in("DeepseekV2ForCausalLM", "language_config", "deepseek_v2", dict(
            DEEP_VL, scoring_func="sigmoid", topk_method="noaux_tc"), vision_config={}, projector_config={}),
        under("language.model", "language.lm_head"))
# the small ones have attention of the usual kind
rebuilt("deepseek_vl_v2__ocr", "deepseek_vl_v2", "llama", dict(num_hidden_layers=3, num_key_value_heads=4),
        text_in("DeepseekOCRForCausalLM", "language_config", "deepseek_v2", dict(
            ROUTED, num_hidden_layers=3, num_key_value_heads=4, first_k_dense_replace=1, use_mla=False,
            q_lora_rank=None, kv_lora_rank=None, qk_nope_head_dim=0, qk_rope_head_dim=0, v_head_dim=0, n_group=1,
            topk_group=1, topk_method="greedy", norm_topk_prob=False), vision_config={}, projector_config={}),
        patch="deepseek_moe")
rebuilt("glm4v_moe_text", "glm4v_moe_text", "glm4_moe",
        dict(BAILING_2_BASE, use_qk_norm=False, attention_bias=True, rms_norm_eps=1e-5, **UNTIED),
        hub("Glm4vMoeTextModel", num_hidden_layers=3, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
            attention_bias=True, partial_rotary_factor=0.5, moe_intermediate_size=24, n_routed_experts=8,
            n_shared_experts=1, num_experts_per_tok=3, first_k_dense_replace=1, n_group=4, topk_group=2,
            routed_scaling_factor=2.5, norm_topk_prob=True))
rebuilt("dbrx_converted", "dbrx_converted", "dbrx", CONFIGS["dbrx"]["config"],
        dict(architectures=["DbrxForCausalLM"], d_model=64, n_heads=4, n_layers=2, vocab_size=256, max_seq_len=64,
             attn_config=dict(kv_n_heads=2, clip_qkv=2.0, rope_theta=500000.0), tie_word_embeddings=False,
             ffn_config=dict(ffn_hidden_size=32, moe_num_experts=8, moe_top_k=3, moe_normalize_expert_weights=1,
                             ffn_act_fn=dict(name="silu"))))
rebuilt("qwen_drive", "qwen_drive", "qwen3_5_text", dict(QWEN3_5, **UNTIED),
        dict(architectures=["QwenDrive"], vlm_config=text_in("Qwen3_5ForConditionalGeneration", "text_config",
             "qwen3_5_text", dict(QWEN3_5, partial_rotary_factor=0.25))),
        under("vlm.model.language_model", "vlm.lm_head"))
QWEN3_5_2 = dict(QWEN3_5, num_hidden_layers=2, layer_types=HYBRID[1:])
rebuilt("zdtaichu5_0", "zdtaichu5_0", "qwen3_5_text", dict(QWEN3_5_2, **UNTIED),
        text_in("ZDTaichu5ForConditionalGeneration", "text_config", "qwen3_5_text",
                dict(QWEN3_5_2, partial_rotary_factor=0.25), vision_config={}),
        under("language_model.model", "language_model.lm_head"))
rebuilt("ovis2_6_next", "ovis2_6_next", "qwen3_next", dict(QWEN3_NEXT, **UNTIED),
        text_in("Ovis2_6_Next", "llm_config", "qwen3_next", dict(QWEN3_NEXT, partial_rotary_factor=0.25),
                visual_vocab_size=64), under("llm.model", "llm.lm_head"))
rebuilt("bailing_moe_v2", "bailing_moe_v2", "glm4_moe", dict(BAILING_2_BASE, **UNTIED),
        hub("BailingMoeV2ForCausalLM", **BAILING_2), BAILING_2_NAMES, ("query_key_value", "cat"))
# masked diffusion in blocks of 32 tokens: these are one; on the hub generate() is told what mask_token_id is
rebuilt("llada2_moe", "llada2_moe", "glm4_moe", dict(BAILING_2_BASE, **UNTIED),
        hub("LLaDA2MoeModelLM", mask_token_id=255, **BAILING_2), BAILING_2_NAMES, ("query_key_value", "cat"),
        patch="bidirectional")
rebuilt("klear", "klear", "qwen3", dict(QWEN3, num_hidden_layers=3),
        hub("KlearMoeForCausalLM", num_hidden_layers=3, num_key_value_heads=2, **EXPERTS, moe_intermediate_size=24,
            n_shared_experts=1, norm_topk_prob=True, routed_scaling_factor=2.5, decoder_sparse_step=1,
            mlp_only_layers=[0], attention_bias=False, sliding_window=None, use_sliding_window=False), patch="klear")
# as on the hub: transformers saves per_layer_config, and shares keys and values where the two above do
GEMMA4 = dict(num_hidden_layers=3, head_dim=16, sliding_window=8, final_logit_softcapping=5.0,
              layer_types=["sliding_attention", "full_attention", "full_attention"],
              rope_parameters=CONFIGS["gemma4_unified_text"]["config"]["rope_parameters"])
GEMMA4_OWN = dict(hidden_activation="gelu_pytorch_tanh", global_head_dim=32, num_kv_shared_layers=0,
                  tie_word_embeddings=True, attention_bias=False, rope_theta=..., hidden_act=...)
rebuilt("gemma4_unified_text__own_keys", "gemma4_unified_text", "gemma4_unified_text",
        dict(GEMMA4, num_kv_shared_layers=0, per_layer_config={i: dict(head_dim=32) for i in "12"},
             tie_word_embeddings=True),
        strip(hub("Gemma4UnifiedForCausalLM", num_key_value_heads=2, **GEMMA4, **GEMMA4_OWN)))
rebuilt("gemma4_unified__no_values", "gemma4_unified", "gemma4_unified_text",
        dict(GEMMA4, num_kv_shared_layers=0, attention_k_eq_v=True, tie_word_embeddings=True,
             per_layer_config={i: dict(head_dim=32, num_key_value_heads=1) for i in "12"}),
        strip(text_in("Gemma4UnifiedForConditionalGeneration", "text_config", "gemma4_unified_text", dict(
            GEMMA4, attention_k_eq_v=True, num_global_key_value_heads=1, **GEMMA4_OWN))),
        under("model.language_model"))
rebuilt("NemotronH_Nano_Omni_Reasoning_V3", "NemotronH_Nano_Omni_Reasoning_V3", "nemotron_h",
        dict(CONFIGS["nemotron_h__moe"]["config"], layer_norm_epsilon=1e-5, **UNTIED),
        text_in("NemotronH_Nano_Omni_Reasoning_V3", "llm_config", "nemotron_h", dict(
            NEMOTRON, num_hidden_layers=4, hybrid_override_pattern="ME*M", head_dim=16, layer_norm_epsilon=1e-5,
            rms_norm_eps=1e-5,
            mlp_hidden_act="relu2", mamba_hidden_act="silu", n_routed_experts=8, n_shared_experts=1,
            num_experts_per_tok=3, moe_intermediate_size=32, moe_shared_expert_intermediate_size=64, n_group=1,
            topk_group=1, routed_scaling_factor=2.5, norm_topk_prob=True, use_conv_bias=True, use_bias=False,
            attention_bias=False, mlp_bias=False), vision_config={}),
        under("language_model.backbone", "language_model.lm_head"))

# ---- types that read the tensors of another: the same directory under another config.json ----
ALIASES = {}


def alias(name, of, model_type, drop=(), move={}, **config):
    """drop and move: keys of the older spelling of config.json that are not there or have another name."""
    ALIASES[name] = dict(of=of, model_type=model_type, drop=drop, move=move, config=config)


alias("yi", "llama", "Yi", architectures=["YiForCausalLM"])
alias("nanbeige", "llama__groups_of_3", "nanbeige", architectures=["NanbeigeForCausalLM"])
alias("exaone4_5_text", "exaone4", "exaone4_5_text")
alias("minicpmo", "minicpmv", "minicpmo", architectures=["MiniCPMO"])
alias("xverse", "llama", "xverse", architectures=["XverseForCausalLM"])
alias("llava_qwen2", "qwen2", "llava_qwen2", architectures=["LlavaQwen2ForCausalLM"])
alias("mimo", "qwen2__odd", "mimo", architectures=["MiMoForCausalLM"], num_nextn_predict_layers=0, attention_bias=True)
alias("kimi_k2", "deepseek_v3__yarn", "kimi_k2", architectures=["DeepseekV3ForCausalLM"])
alias("grinmoe", "phimoe", "grinmoe", architectures=["GRINMoEForCausalLM"])
alias("moss", "codegen", "moss", architectures=["MossForCausalLM"])
alias("stablelm_epoch", "stablelm", "stablelm_epoch", architectures=["StableLMEpochForCausalLM"],
      move=dict(layer_norm_eps="norm_eps", partial_rotary_factor="rope_pct"), drop=("rope_scaling", "qk_layernorm",
      "use_parallel_residual"))
alias("RefinedWebModel", "falcon", "RefinedWebModel", architectures=["RWForCausalLM"],
      move=dict(num_hidden_layers="n_layer", num_attention_heads="n_head"), drop=("new_decoder_architecture",
      "num_kv_heads", "rope_theta", "rope_scaling", "ffn_hidden_size", "num_ln_in_parallel_attn", "activation"))
alias("RefinedWeb", "falcon__new_decoder_gqa", "RefinedWeb", architectures=["RWForCausalLM"],
      move=dict(num_hidden_layers="n_layer", num_attention_heads="n_head", num_kv_heads="n_head_kv"), drop=(
      "new_decoder_architecture", "multi_query", "rope_theta", "rope_scaling", "ffn_hidden_size",
      "num_ln_in_parallel_attn", "activation"))
alias("yi__lower", "llama", "yi", architectures=["YiForCausalLM"])
alias("dream__lower", "Dream", "dream")
alias("refinedWeb__lower", "RefinedWeb", "refinedWeb")
alias("refinedWebModel__lower", "RefinedWebModel", "refinedWebModel")
alias("nemotronh_nano_omni_reasoning_v3__lower", "NemotronH_Nano_Omni_Reasoning_V3", "nemotronh_nano_omni_reasoning_v3")
alias("longllama", "llama", "longllama", architectures=["LongLlamaForCausalLM"], last_context_length=24, mem_layers=[1])
alias("marin", "qwen3", "marin", architectures=["MarinForCausalLM"])
alias("qwen2_vl_text", "qwen2", "qwen2_vl_text", rope_scaling=dict(type="mrope", mrope_section=[2, 3, 3]))
alias("qwen2_5_vl_text", "qwen2", "qwen2_5_vl_text", rope_scaling=dict(type="mrope", mrope_section=[2, 3, 3]))
alias("intern_s2_preview", "qwen3_5_moe", "intern_s2_preview",
      architectures=["InternS2PreviewForConditionalGeneration"])
# all keys at the top, and text's and vision's experts in one list each
alias("ernie4_5_moe_vl", "ernie4_5_vl_moe", "ernie4_5_moe_vl", drop=("text_config",),
      architectures=["Ernie4_5_VLMoeForConditionalGeneration"], vocab_size=256, hidden_size=64, intermediate_size=96,
      num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5,
      rope_theta=10000.0, rope_3d=True, freq_allocation=2, hidden_act="silu", use_bias=False, moe_num_experts=[8, 8],
      moe_intermediate_size=[24, 16], moe_k=3, moe_num_shared_experts=2, moe_layer_start_index=[1, 1],
      moe_layer_end_index=[2, 2], moe_layer_interval=1)
alias("internvl_chat", "internvl", "internvl_chat", architectures=["InternVLChatModel"],
      move=dict(text_config="llm_config"))

# ---- the same checkpoint stored in another way ----
BF16 = {"llama__bias_tied", "qwen3_moe", "gemma2", "nemotron_h"}
SHARDS = {"mixtral", "gpt2", "nemotron_h", "qwen2", "internlm2"}  # in three files with their index
FUSED = {"mixtral", "qwen3_moe", "deepseek_v3"}  # experts stored as transformers 5 keeps them in memory
# Types that a second implementation, written from config.json and tensor names alone, has not confirmed: these, and
# those from "more model types" on.  All before them agree with it.
UNVERIFIED = {"diffllama", "doge", "modernbert_decoder", "longcat_flash", "jetmoe", "recurrent_gemma", "zamba2", "rwkv",
              "glm_moe_dsa"}

# ---- DualStreamRoFormer (cube_ref.py): the keys of open_model.yaml; text: its tokens ----
CUBE = dict(n_layer=3, n_single_layer=1, rope_theta=10000, n_head=4, n_embd=64, bias=True, eps=1e-6,
            shape_model_vocab_size=128, text_model_embed_dim=48, use_pooled_text_embed=False, shape_model_embed_dim=8,
            encoder_with_cls_token=True)
CUBES = {
    "cube-base": dict(text=7, config=dict(CUBE, n_embd=48, n_head=3)),
    "cube-bbox": dict(text=7, config=dict(CUBE, use_bbox=True, n_layer=2, n_single_layer=2)),
    "cube-nobias": dict(text=5, config=dict(CUBE, bias=False, n_layer=2, n_single_layer=0, rope_theta=1000)),
}
BOX = [[1.0, 0.5, 1.925], [1.925, 1.25, 0.375]]  # the longest side is 1.925
