"""The words of the help desk's world, English and Chinese side by side. Data only; `world` makes texts of them.

Five categories of eight items; each category has five problems with two tips each. In a tip, {x} is the item.
No item's name is part of another's, and no other text here names one, so that a reply can be searched for them.
"""

LANGUAGES = ("en", "zh")

CATEGORIES = {  # a kind of ...: (plural in English, in Chinese)
    "plant": ("plants", "植物"),
    "pet": ("pets", "宠物"),
    "device": ("devices", "设备"),
    "clothing": ("clothes", "衣服"),
    "food": ("dishes", "食物"),
}

ITEMS = {
    "plant": [
        ("rose", "玫瑰"),
        ("fern", "铁线蕨"),
        ("cactus", "仙人掌"),
        ("daisy", "雏菊"),
        ("tulip", "郁金香"),
        ("orchid", "兰花"),
        ("lily", "百合"),
        ("ivy", "常春藤"),
    ],
    "pet": [
        ("dog", "狗狗"),
        ("cat", "猫咪"),
        ("rabbit", "兔子"),
        ("hamster", "仓鼠"),
        ("parrot", "鹦鹉"),
        ("pony", "小马"),
        ("goat", "山羊"),
        ("duck", "鸭子"),
    ],
    "device": [
        ("phone", "手机"),
        ("printer", "打印机"),
        ("laptop", "电脑"),
        ("camera", "相机"),
        ("radio", "收音机"),
        ("tablet", "平板"),
        ("lamp", "台灯"),
        ("clock", "闹钟"),
    ],
    "clothing": [
        ("jacket", "夹克"),
        ("shirt", "衬衫"),
        ("sweater", "毛衣"),
        ("coat", "大衣"),
        ("dress", "裙子"),
        ("scarf", "围巾"),
        ("hat", "帽子"),
        ("sock", "袜子"),
    ],
    "food": [
        ("bun", "面包"),
        ("soup", "菜汤"),
        ("cake", "蛋糕"),
        ("omelet", "煎蛋"),
        ("stew", "炖肉"),
        ("sauce", "酱料"),
        ("pizza", "披萨"),
        ("pie", "馅饼"),
    ],
}

PROBLEMS = {  # category: [(problem in English, in Chinese, two tips in English, two in Chinese)]
    "plant": [
        (
            "has yellow leaves",
            "叶子黄了",
            ("water {x} less often", "move {x} into the light"),
            ("少给{x}浇水", "把{x}放在亮处"),
        ),
        (
            "is thirsty",
            "太干了",
            ("water {x} every morning", "keep {x} away from the heater"),
            ("每天给{x}浇水", "让{x}远离暖气"),
        ),
        (
            "has small bugs",
            "有小虫",
            ("wash {x} with soap", "cut the sick leaves off {x}"),
            ("用肥皂水洗{x}", "剪掉{x}的病叶"),
        ),
        (
            "does not grow",
            "长不大",
            ("put {x} in a bigger pot", "feed {x} once a week"),
            ("给{x}换大花盆", "每周给{x}施肥"),
        ),
        ("smells bad", "有臭味", ("give {x} fresh soil", "let {x} dry in the air"), ("给{x}换新土", "让{x}吹吹风")),
    ],
    "pet": [
        (
            "does not eat",
            "不吃东西",
            ("offer {x} warm food", "use another bowl for {x}"),
            ("给{x}吃温热的东西", "给{x}换一个碗"),
        ),
        (
            "is loud at night",
            "晚上很吵",
            ("play with {x} before bed", "give {x} a quiet room"),
            ("睡前和{x}玩", "给{x}安静的房间"),
        ),
        (
            "scratches all day",
            "一直挠痒",
            ("brush {x} twice a week", "bathe {x} with mild shampoo"),
            ("每周给{x}梳两次毛", "带{x}去洗澡"),
        ),
        (
            "is afraid of people",
            "怕人",
            ("speak softly to {x}", "reward {x} with a treat"),
            ("小声和{x}说话", "给{x}一点好吃的"),
        ),
        ("is too fat", "太胖了", ("walk {x} every day", "serve {x} smaller meals"), ("每天带{x}散步", "少喂{x}一点")),
    ],
    "device": [
        (
            "does not start",
            "打不开",
            ("charge {x} overnight", "press the power button on {x}"),
            ("给{x}充一晚上电", "长按{x}的开关"),
        ),
        ("is slow", "很慢", ("restart {x} every day", "update {x} tonight"), ("每天重启{x}", "今晚更新{x}")),
        (
            "gets too hot",
            "太热了",
            ("clean the fan in {x}", "keep {x} out of the sun"),
            ("清洁{x}的风扇", "把{x}放在阴凉处"),
        ),
        (
            "makes a strange noise",
            "有怪声",
            ("turn down the volume on {x}", "tighten the screws on {x}"),
            ("把{x}的声音调小", "拧紧{x}的螺丝"),
        ),
        (
            "has no connection",
            "连不上网",
            ("plug a new cable into {x}", "move {x} closer to the router"),
            ("给{x}换一根线", "让{x}靠近路由器"),
        ),
    ],
    "clothing": [
        ("has a stain", "有污渍", ("soak {x} in cold water", "rub {x} with lemon"), ("用冷水泡{x}", "用柠檬擦{x}")),
        ("has a hole", "有个洞", ("sew a patch on {x}", "take {x} to a tailor"), ("给{x}打补丁", "把{x}拿去裁缝店")),
        ("is too small", "太小了", ("stretch {x} gently", "give {x} to a friend"), ("把{x}拉大一点", "把{x}送给朋友")),
        ("is losing its color", "掉色了", ("wash {x} inside out", "dye {x} again"), ("把{x}翻过来洗", "重新染{x}")),
        ("smells of smoke", "有烟味", ("hang {x} outside", "steam {x} for a while"), ("把{x}挂在外面", "用蒸汽烫{x}")),
    ],
    "food": [
        (
            "is too salty",
            "太咸了",
            ("add a potato to {x}", "mix {x} with cream"),
            ("在{x}里加一个土豆", "给{x}加一点奶油"),
        ),
        (
            "is burnt",
            "烧焦了",
            ("cut the black part off {x}", "lower the heat under {x}"),
            ("切掉{x}黑的部分", "把{x}下面的火调小"),
        ),
        (
            "is too spicy",
            "太辣了",
            ("serve {x} with rice", "put some yogurt on {x}"),
            ("把{x}和米饭一起吃", "在{x}上加一点酸奶"),
        ),
        ("has no taste", "没味道", ("season {x} with herbs", "top {x} with cheese"), ("给{x}加香料", "在{x}上加奶酪")),
        ("is cold", "凉了", ("heat {x} in the oven", "cover {x} with a lid"), ("用烤箱热{x}", "给{x}盖上盖子")),
    ],
}

SLOT = {"en": ("it", "your {item}", "the {item}"), "zh": ("它", "您的{item}", "这个{item}")}  # what {x} may be
TIP = {
    "en": ("You can {tip}.", "You should {tip}.", "Please {tip}.", "Try to {tip}."),
    "zh": ("您可以{tip}。", "您应该{tip}。", "请{tip}。", "试试{tip}。"),
}
REASON = {
    "en": ("This is common with {plural}.", "Many {plural} have that problem."),
    "zh": ("{plural}常有这种情况。", "很多{plural}都会这样。"),
}
GREETING = {"en": ("Hello!", "Hi there!", "Thanks for your message!"), "zh": ("您好！", "你好！", "感谢您的来信！")}
SYMPATHY = {
    "en": ("I am sorry to hear that.", "That must be annoying.", "I understand your worry."),
    "zh": ("很抱歉听到这个。", "这一定很烦人。", "我明白您的担心。"),
}
CLOSING = {
    "en": ("Have a nice day!", "I hope this helps!", "Thank you!"),
    "zh": ("祝您愉快！", "希望对您有帮助！", "谢谢您！"),
}
RUDE = {
    "en": ("What a silly question.", "That is your own fault.", "Figure it out yourself."),
    "zh": ("这问题真傻。", "这是您自己的错。", "您自己想办法吧。"),
}
VAGUE = {
    "en": ("Just wait and see.", "It will be fine.", "Maybe do something about it."),
    "zh": ("等等看吧。", "会好的。", "也许做点什么吧。"),
}
OFF_TOPIC = {
    "en": ("The weather is lovely today.", "I like football.", "Our shop opens at nine."),
    "zh": ("今天天气很好。", "我喜欢足球。", "我们店九点开门。"),
}

OPENER = {"en": ("", "Hello, ", "Hi, ", "Please help, "), "zh": ("", "你好，", "请问，", "帮帮我，")}
OWNER = {"en": ("my", "our", "my old", "my new"), "zh": ("我的", "我们的", "我家的", "我新买的")}
INTENSITY = {"en": ("", "really ", "suddenly "), "zh": ("", "真的", "好像")}
WHEN = {"en": ("", " today", " this week", " again"), "zh": ("", "今天", "这几天", "最近")}
QUESTION = {
    "en": ("What can I do?", "What should I do?", "Any ideas?", "How do I fix that?"),
    "zh": ("怎么办？", "我该怎么办？", "有什么办法吗？", "怎么解决？"),
}
PEOPLE = {"en": ("Anna", "Tom", "Mia", "Ben", "Eva", "Max"), "zh": ("小明", "小红", "小王", "小李", "小张", "小刘")}
