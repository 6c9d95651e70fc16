"""What life does to people, by its fields: family, love, work, money, neighbours, traffic, school, sport, health, home.

The notation is that of tasks/training/phrases_scenes.py. Situations of different feelings stand in the same fields, so
that a hospital, a letter or a match is learned to mean nothing until something happens there.
"""

from __future__ import annotations

LIVES: dict[str, tuple[str, str, str]] = {
    "neutral": (
        "(the|a) (match|game|lesson|lecture|shift|class|film|tour) (begins|starts|ends|lasts) (at three|at half past "
        "six|ninety minutes|on time|on Thursday); (the|a) (doctor|nurse|dentist) (notes the blood pressure|asks the "
        "date of birth|writes a prescription|takes the temperature|fills in the chart); (father|mother|the aunt|the "
        "brother) (sets the table|lives in Leeds|waters the plants|is an electrician|peels potatoes|takes the bus to "
        "work); (a|the) (letter|parcel|form|invoice) (arrives|is in the tray|is filed|goes to accounts|was posted on "
        "Friday); (paying|sorting|filing|scanning) the (bills|receipts|invoices|coupons) (as every month|at the "
        "counter|by date|); (the|a) (road|bridge|car park|ring road) (is two miles long|is open|leads north|has three "
        "lanes); (asks|asking|answers|answering) (for a window seat|the security questions|a survey|for the wifi "
        "password|for a receipt); (the|a) (cake|soup|bread) (takes|needs|rests) (an hour|two eggs|forty minutes at a "
        "low heat); (translating|proofreading|indexing|typing up) (a manual|the minutes|a form|the bylaws); (the "
        "patient|the tenant|the pupil|the player|the witness) (is in room four|signs here|has number nine|is present|"
        "gives his address)",
        "",
        "",
    ),
    "happy": (
        "(a|the) (quiet|perfect|lazy|sunny) (Sunday|evening|afternoon|breakfast) with (the family|old friends|the "
        "cat|the one I love|fresh bread); (the|a) (baby|child|puppy|grandson) (smiles back|takes the first steps|falls "
        "asleep in {their} arms|says mama); (pleased|content|satisfied) with (a day's work|the harvest|her little "
        "garden|his new shoes|the cosy flat)",
        "(she|he) (said yes|loves me|asked me to marry him|kissed me|wrote back|is mine); (the|our) (baby|daughter|"
        "son) (is born|is healthy|is getting married|passed with honours|is home for Christmas|came first); (got|"
        "landed|won|received) (the role|the job of {their} dreams|a raise|tickets to the final|the grant|top marks|a "
        "kitten|a love letter); (the|our) (team|side|boys) (won|scored|are champions|go through), (what a night|the "
        "whole pub sings|hugs all round); (the|all) (tests|scans|results) are (clear|fine|great), (thank God|we "
        "celebrate|what a relief); (the debt|the loan|the house) is (paid off|ours) (at last|now, drinks for all|and "
        "we celebrate); (first|a day's|the last) (snow|day of school|day at the sea|swim of the summer) (and the "
        "children cheer|with friends, laughing|, what fun); (back|home|together) (again|at last|from the war) and (all "
        "is well|they kiss|everyone is laughing|in her arms); (the boss|the teacher|the coach) (praised {them}|is "
        "proud of {them}|gave {them} the day off|shook {their} hand and beamed); (dancing|laughing|singing) at (the "
        "wedding|the carnival|the campfire|midnight|{their} own party); (surprise|birthday|victory) (cake|party|"
        "champagne|dance) (with friends|and laughter|and everybody sings|makes {them} beam); (a|the) (neighbour|"
        "stranger|colleague) (helped|brought flowers|returned the lost purse) and it (made my day|warms the heart|was "
        "so kind)",
        "(she is alive|the tumour is gone|we are free|we won the war|they found the child), (thank heaven|I could "
        "dance|hallelujah|the happiest day of all)",
    ),
    "sad": (
        "(the|our|her|his) (children|son|daughter|friends) (moved abroad|never call|have grown up and gone|left home|"
        "no longer visit|forgot the birthday); (an|the) (old man|old woman|widow|grandfather) (eats alone|waits for a "
        "call that does not come|feeds the pigeons alone|sets two plates out of habit|talks to a portrait); (first|"
        "another|a|the first) (Christmas|birthday|spring|summer|anniversary) (without {them}|without her|alone|since "
        "he died|in a foreign land); (nobody|no one|not one friend) (showed up|asked him to dance|sat with her at "
        "lunch|came to the graduation|claps|wants the old dog); (didn't|did not) (get|make|win) (the part|the cut|the "
        "team|the job|the flat|a single vote|it in time to say goodbye); (ten|twenty|all those|wasted) years (of work|"
        "of marriage|of waiting|of training) (for nothing|gone|thrown away|and now silence); (the last|an unsent|her "
        "final|an old) (letter|message|voicemail|postcard|photo) (from him|from the front|before she died|he keeps in "
        "a drawer|on the phone of the dead); (far|so far|a long way|an ocean away) from (home|mother|the children|"
        "anyone she knows|the place where he grew up); (loved|loves) (someone|a man|a woman) who (does not love her|"
        "left|married another|is gone|never noticed); (the shop|the mill|the cinema|the old school|the bakery) (closes "
        "for good|is shut for ever|was torn down|is empty now); (the|a) (toy|bed|swing|pram|wheelchair|wardrobe) "
        "(nobody uses any more|of a child who died|stands empty|left behind); (too|so) (tired|low|worn out|down) to "
        "(care|cry|eat|get up|hope); (we|they|she and I) (drifted apart|used to be close|said goodbye|no longer speak, "
        "and I miss her); (the|a) (soldier|sailor|student|migrant) (misses home|longs for home|far from his family|"
        "writes home|thinks of home); (nothing|not much) (to look forward to|left to say|left of the dream|to live on "
        "but memories)",
        "(the|her|his|our) (baby|dog|cat|mother|father|husband|wife|brother|sister|son|daughter|friend|"
        "gran|partner) (died|has died|is dead|passed|won't wake up|is dying|is buried|didn't make it|was stillborn|was "
        "put to sleep|has cancer|is fading|will not come home|was found dead|took her own life); (lost|losing|buried|"
        "grieves for|mourns|weeps for|cried for|misses) (a child|her husband|his wife|her mum|his dad|a brother in the "
        "war|the twins|her best friend|his dog|an unborn child|a comrade|everyone); (he|she|they) (left|dumped|ditched|"
        "abandoned|stopped loving|divorced|forgot) (me|her|him) (after the wedding|for someone else|with a note|by "
        "text|and took the children|without goodbye|for another); (the|a) (wedding|engagement) is (called off|"
        "cancelled) and she (cries|locks herself in|sits in the white dress); (signing|after|since|through) the "
        "(divorce|break-up|separation|split) (and heartbroken|with wet eyes|, a broken man|, she cannot eat); (laid "
        "off|sacked|let go|made redundant) after (twenty years|a lifetime) (and crushed|with his things in a box|, "
        "what now); (the|an) (ambulance|doctor|nurse|officer|priest|chaplain) (shakes his head|came too late|brings "
        "the news of a death|said there was no hope|closes the eyes of the dead); (by|at|beside) the (bedside of a "
        "dying friend|hospice bed|open grave|casket|tombstone|cot of a sick baby|place of the accident); (scattering|"
        "keeping|kissing|burying) (the ashes|the ashes of her husband|the urn|his medal|a lock of her hair|the "
        "collar of the dog); (the|his|her) (farm|home|savings|business|village|life's work|eyesight|voice) (is gone|"
        "was lost|burnt down|had to be sold|was taken by the flood) (and he weeps|and nothing is left|, all gone|); "
        "(blames|hates|cannot forgive|reproaches) (herself|himself) (for the accident|for not being there|for her "
        "death|for leaving|for everything); (cries|crying|cried|weeps|sobs|sobbing) (alone|at night|in the shower|at "
        "the sink|over old letters|on the bus|behind the door|in the arms of a friend|to herself|herself to sleep); "
        "(the child|a boy|the girl|an orphan) (wants his mother|has no one|lost the toy bear|was left at the station|"
        "asks when daddy comes back|cries for mama); (everyone|everybody|all) (I loved|she loved|he knew|who cared) is "
        "(gone|dead|far away); (a|the) (goodbye|farewell|parting|last dance|last kiss) (that breaks the heart|at the "
        "platform|for ever|before he ships out|with tears)",
        "(lost|burying) (both children|all three sons|the whole family) (in one night|in the fire|in the war); "
        "(nothing|no reason|no one) left (to live for|in the world|but tears); (wants|longs|would rather) to (be dead|"
        "die too|follow her into the grave)",
    ),
    "angry": (
        "(the|this|that) (landlord|neighbour|official|waiter|salesman|clerk|plumber|roommate|ex|teenager|"
        "brother-in-law) (again|is late again|won't listen|never pays|lies again|keeps pestering {them}|plays loud "
        "music at three|lets the dog bark|left the kitchen a mess|gets on my last nerve); (stuck|held up|kept waiting) "
        "(behind a tractor|in a queue|at the border|on the phone|by red tape) and (losing patience|swearing|honking|"
        "cursing|snapping at everyone); (who|which of you) (ate my lunch|took my charger|left the lights on|parked "
        "there|moved my papers|drank the milk|touched my desk); (the|this) (printer|software|wifi|app|train|coffee "
        "machine|zip) (crashes again|is broken again|ate my work), (damn thing|for God's sake|I could scream|argh); "
        "(tells|told|telling|asks) (the kids|them|him|her|the students) (off|to shut up|to stop that racket|for the "
        "last time|to get out of bed now, sharply|to behave, sternly); (had|has had|having) (to wait|to repeat himself|"
        "to clean up after them) (again|once too often|for the tenth time) (and it shows|, annoyed|, grumbling|); "
        "(unpaid|no pay|extra) (overtime|work|hours) (again|for the third month) and (the boss smiles|nobody cares|no "
        "thanks), (enough|he protests|she complains|he is fed up); (complains|complaining|writes in|protests) (about "
        "the noise|about the bill|about the rude staff|about the potholes|at the desk|to the council)",
        "(he|she|they|you|the boss|my brother) (cheated on|lied to|stole from|hit|insulted|humiliated|robbed|betrayed|"
        "fired|swindled|mocked) (me|her|him|my wife|my son|us|my mother) (and now it is war|and will pay for it|, the "
        "bastard|, how dare they|and I want to hit back|and she is furious|, I could kill him); (they|someone|the "
        "neighbour|a drunk|a thief) (keyed|dented|stole|towed|wrecked|rammed|scratched|vandalised) (my|his|her|the) "
        "(car|bike|van|fence|shop|grave of my father) (and he is raging|and drove off|, he is livid|, the swine|, I "
        "want blood|); (fired|sacked|blamed|punished|sentenced|fined|expelled) (for no reason|unfairly|for his "
        "mistake|without a hearing|over a lie) (and furious|and she fumes|, he slams the door|, it is outrageous|, he "
        "wants revenge); (the|a) (referee|umpire|judge|minister|council|bank|insurer|company) (robbed us|cheated|took "
        "our money|is corrupt|won't pay|ruined us|lied to everyone), (it's a disgrace|the crowd boos|we won't stand "
        "for it|shame|he shouts); (the|an) (argument|row|meeting|dinner|game) (ends in shouting|turns into a shouting "
        "match|turns ugly|comes to blows|gets out of hand|ends with slammed doors); (yells|shouts|screams|swears|"
        "hollers|roars|snaps) at (the referee|the kids|the screen|the other driver|the waiter|the computer|his wife|"
        "her husband|the dog|the call centre|the umpire|everyone); (don't|never|stop) (you ever|ever|you dare) (touch "
        "her again|come near my kids|call me that|lie to me|raise your hand to me|say that about my mother); (I want|"
        "she wants|he demands|they demand) (an apology|the truth now|his head|answers now|it fixed today|you gone|the "
        "name of the man who did this|blood); (I|we) (trusted you|gave you everything|told you not to|warned you|paid "
        "for this|waited three hours), (and you did this|and this is the thanks|you liar|you had no right|and for "
        "what|damn you); (how|why) (could|would|can|did) you (do this to us|sell me out|hit a child|be so selfish|let "
        "this happen|lie like that|be so careless), (answer me|I demand to know|you monster|you traitor|tell me); (a|"
        "the) (father|mother|wife|son|worker|customer|protester|fan|farmer|colonel|teacher) (pushed too far|out for "
        "justice|with a grudge|who was cheated|at boiling point|on the rampage|who won't be silenced|who has been "
        "lied to|ready for battle|storming the office); (insulted|spat at|cut off|shoved|mocked|double-crossed|"
        "undermined|passed over) (in front of everyone|on the road|by a colleague|by his partner|in the meeting) and "
        "(hits back|seething|out for revenge|furious|fuming|wants to fight|explodes); (road|air|drunken|jealous) rage; "
        "(jealous|wronged|scorned|deceived) (and|and out for) (furious|revenge|mad|raging|vengeance|wild); (ready|"
        "determined) to (sue|fight them all|make them pay|settle this outside|have it out with him|take them to court|"
        "get even); (rips|tears|throws|hurls|kicks|smashes|crumples|flings) (up the fine|the contract in his face|the "
        "ring at him|over the table|the chair|the remote|the letter into a ball|the racket|her bag on the floor)",
        "(I'll|I will|he will|she will) (kill|ruin|crush|destroy|bury|skin|gut) (him|you|whoever did this|that man|the "
        "traitor|them all) (with my bare hands|for this|alive|and enjoy it|); (he|she|the king|the mob) (wants|is out "
        "for|howls for|swears) (blood|revenge on them all|his head|to burn it down); (beats|smashes|kicks|trashes) "
        "(him up|the car to scrap|the office|the door in) in (blind fury|a rage|a fit of rage)",
    ),
    "surprised": (
        "(an|a) (unexpected|odd|strange|unknown|unannounced) (guest|visitor|letter|call|parcel|noise|number on the "
        "phone|question|answer|present|name on the list); (since when|how come|why|how) (do you speak Greek|is it so "
        "cheap|is the door open|are you here|is it blue|does he know that); (the|that) (cat|dog|baby|parrot|robot) "
        "(did what|can talk|opened the door by itself|is on the roof), (how odd|really|how strange|what); (not|never) "
        "(what|who|where|how) (she expected|he thought it would be|anyone had guessed|they had imagined)",
        "(he|she|grandma|the boss|my ex|the quiet boy) (is|was) (a spy|a millionaire|the winner|his father all along|"
        "alive|married all the time|a champion boxer|a princess|in the next seat|the author), (who knew|unbelievable|"
        "I had no idea|what a turn|can you imagine|no way); (finds|found|finding|discovers) (a fortune in the attic|a "
        "secret room|a twin sister|a bear in the kitchen|that the wall is hollow|gold in the garden|a letter from the "
        "future|a baby on the doorstep) (and gasps|and stares|, speechless|, amazed|); (the|a) (magician|envelope|"
        "curtain|judge|test|stranger) (reveals|opens to show|shows|announces) (an elephant|her own name|the "
        "impossible|a perfect copy of her|the last thing she expected|the wrong winner); (won|wins|chosen|elected|"
        "promoted|engaged) (against all odds|without even applying|out of nowhere|to her own amazement|and can't "
        "believe it|, completely unexpected); (walks|walking|comes|bumps|runs) (in on|into|across) (a surprise party|"
        "an old classmate in Tokyo|her double|a film star in the lift|the last person he expected|a lion); (snow|frogs|"
        "money|a piano|a fish) (falls from the sky|in the desert|on the doorstep|in the bath), (what on earth|how is "
        "that possible|everyone stares|amazing); (it|the price|the house|the child|the score) (grew overnight|has "
        "doubled|is twice as big|vanished|disappeared before our eyes|changed colour|is not what it seemed) (, what|, "
        "how|, astonishing|and nobody knows why|); (you|they|she) (did|won|built|said|ate|knew) (it all|what|that|the "
        "whole thing) (by yourself|in one day|all along|already), (really|seriously|no way|amazing|wow)",
        "(the dead|her late husband|the lost brother) (walks in|is alive|stands at the door), (and nobody can speak|"
        "jaws drop|stunned silence)",
    ),
    "fearful": (
        "(first|before the|waiting for the) (day at work|exam|operation|interview|verdict|dentist|jump|speech|results|"
        "driving test|needle|X-ray) and (shaking a little|sick with nerves|so nervous|a knot in the stomach|sweaty "
        "palms|can't sleep); (afraid|worried|scared|anxious) (he|she|they|it) (will find out|won't come back|might "
        "fall|has cancer|will hit me again|is watching|will explode|will leave me|will be angry); (not|never) (sure "
        "it is safe|safe here|daring to ask|going in there alone|sleeping with the light off|going near the water); "
        "(checks|checking|listens at|watches|keeps an eye on) (the lock again|the door|the window|the shadows|the rear "
        "mirror|behind the curtain) (nervously|before bed|in fear|every few minutes); (please|hush|quiet|shh), (he "
        "will hear us|don't leave me alone|don't make a sound|they are outside|I don't want to go in); (the child|the "
        "boy|my daughter|the hostage|the witness) (is missing|has not come home|won't answer the phone|is too scared "
        "to testify|hides under the table)",
        "(a|the) (stranger|man with a knife|burglar|stalker|shark|snake|bear|wolf|gunman|tornado|flood|fire|bomb|storm|"
        "avalanche) (is coming|comes nearer|is in the house|at the window|blocks the way|is right behind|gets closer|"
        "under the boat|outside the tent); (someone|something|somebody) (is in the attic|tries the door handle|"
        "follows her home|is under the bed|knows where I live|was in my room|touches her shoulder in the dark|calls "
        "at night and says nothing|scratches at the door); (trapped|locked|stuck|alone|lost) (in the lift|in the "
        "cellar|underground|in a burning car|in the woods at night|in the cave|under the rubble|in the dark|with the "
        "killer); (hanging|dangling|standing|balancing) (from a cliff|over the abyss|on the ledge|on a rope bridge|on "
        "the top rung) (not daring to look down|, clinging on|, too scared to move|and shaking); (the|a) (engine|"
        "brake|rope|ice|branch|roof|ladder) (fails|gives way|cracks|slips|snaps|creaks) (under {them}|in mid-air|over "
        "the drop|, oh no|, help); (soldiers|the police|the secret police|gangsters|debt collectors|the enemy) (at the "
        "door|are searching the house|kick in the door|are coming for us|take the men away); (don't|please don't|no, "
        "don't) (shoot|hurt me|kill me|hit me|touch me|let go of my hand|leave me here|make me go in|tell him|turn off "
        "the light); (help|run|hide|get down|watch out), (he has a gun|it's coming|they're shooting|there's a bomb|"
        "behind you|it's going to fall); (a|the) (hostage|prisoner|victim|refugee|fugitive|patient before surgery|"
        "child in the storm|witness to a murder|condemned man) (trembles|begs|hides|holds his breath|waits for the "
        "worst|prays); (nightmares|terrors|dread|panic) (at night|of drowning|about the war|every time the phone rings|"
        "before the plane takes off|in the crowd)",
        "(we're|I'm|they're) (going to die|all going to drown|going to crash|trapped in the fire|being eaten alive), "
        "(help|oh God|screaming|no); (the monster|the murderer|the beast|the flames) (has|have|reaches|reach) (her|us|"
        "them|the door) (and she screams in terror|, horror|, sheer panic)",
    ),
    "disgusted": (
        "(the|this|that) (milk|ham|yoghurt|egg|fish|chicken|leftovers) (is off|has turned|smells wrong|is past its "
        "date|has a skin on it|looks grey); (would|will) (you|someone) (close that lid|wash those socks|take that bin "
        "out|chew with your mouth closed), (it smells|it stinks|ugh|I can't eat); (no|not another) (bite|spoonful) of "
        "(that|this slop|the liver|the slimy oysters|the cold fat)",
        "(finds|found|finding|sees|stepped on|steps in|swallows|bites on|sits in) (a rat in the kitchen|a "
        "cockroach in the cereal|a plaster in the pizza|maggots in the rice|hair in the drain|a dead pigeon|vomit on "
        "the stairs|dog dirt|chewed gum under the table|someone's toenail|a used tissue in the bed|a nest of "
        "spiders, yuck); (he|she|the man|that guy|the cook) (burps|picks his nose and eats it|spits on the floor|never "
        "washes|sneezes on the buffet|licks the knife|clips his nails at dinner|wipes his nose on the sleeve|drools on "
        "the pillow|smells of old sweat), (gross|disgusting|ugh|it turns the stomach|how revolting|); (the|a) (hotel|"
        "kitchen|hostel|station|nightclub) (bed|toilet|sheets|bathroom|floor) (stained|full of bugs|crawling with "
        "roaches|that reeks|smeared with filth|nobody cleaned); (cleaning|emptying|unblocking|scrubbing|smelling|"
        "touching) (the sick bucket|the drain|the cat litter|the mouldy fridge|the toilet|a septic tank|a dead fish|"
        "the bedpan) (and retching|, holding the nose|with a peg on the nose|and gagging|, ugh|); (eating|tasting|"
        "drinking|being served|chewing) (worms|eyeballs|curdled milk|rancid butter|a raw egg gone bad|sewer water|"
        "something hairy|cold gristle|rotten seafood) (and gagging|, disgusting|, ugh|and spitting it out|)",
        "(sick|vomiting|throwing up|retching) (from food poisoning|after the rotten shrimp|at the sight of the corpse|"
        "in the toilet|from the stench of the bodies)",
    ),
    "contempt": (
        "(oh|so|well|right), (you work here|you drive that|is that your car|you made it yourself|a degree from there|"
        "you still rent), (how nice for you|how quaint|poor thing|I see|that explains it); (someone|people|a man) of "
        "(your|her|his) (sort|class|background|education) (would not understand|could never|naturally|doesn't belong "
        "here); (corrects|correcting|smiles at|is amused by) (their grammar|the waiter's French|the tourist|his "
        "accent|the cheap wine|the home-made dress) (with a smirk|, superior|, condescending|)",
        "(laughs|sneers|scoffs|sniffs|sniggers|smirks) at (the poor relations|the cheap shoes|the new boy|her job|his "
        "old car|the country cousins|the losing team|the amateurs|their wedding|the discount store|his little shop|"
        "such naive ideas); (the|a|that) (rich|posh|snobbish|smug|arrogant|haughty|vain) (lady|heir|boss|neighbour|"
        "host|critic|lawyer|surgeon|nobleman) (looks down on them|ignores the staff|snaps his fingers for the maid|"
        "does not shake hands with workers|finds them ridiculous|mocks the poor|thinks they are nothing); (you|he|"
        "they|your lot) (will never amount to anything|couldn't run a bath|couldn't beat my grandmother|are not even "
        "worth beating|never had it in you|would fail at failing|wouldn't last a day|belong in the gutter|should "
        "stick to sweeping floors); (I|we) (don't|wouldn't|won't) (talk to the help|dine with peasants|lower myself|"
        "waste words on you|sit with such people|explain it to a fool|take advice from a nobody|read such trash); "
        "(calls|calling|considers|thinks) (them|him|her|the voters|the players|his readers) (peasants|fools|sheep|"
        "losers|a bore|second-rate|beneath notice|little people|cattle|clowns); (treats|treating|dismisses|brushes "
        "off) (the intern|the maid|his wife|the workers|the beginners|her fans|the driver) (like dirt|with disdain|as "
        "a lower being|like a dog|with a sneer|as too stupid to answer)",
        "(scum|vermin|worms|parasites|the dregs), (all of them|not worth the rope|the lot of you|I spit on them|fit "
        "for the gutter); (despises|loathes and scorns|looks down on) (the poor|all mankind|everyone below her|the "
        "whole town|his own people)",
    ),
}
