"""python -m ppo_lesson sft | reward | rlhf: the trainers of `ppo_lesson.language` on your own data and models."""
