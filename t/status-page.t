# The page of chatmaid_status in a browser: it shows what there is and what comes,
# as text, in any width and both schemes, and complains of nothing.

use Chatmaid::Test::Redis;
use Chatmaid::Test::Browser;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Webhook;
use Digest::SHA qw(sha256_base64);
use Mojo::JSON qw(encode_json);

Chatmaid::Test::Browser::required();

my $redis = redis_server;
my $api   = sandbox;
my $nginx = nginx(
    http    => 'chatmaid_redis ' . $redis->url . ' timeout=30s; chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_retries 0;',
    files   => {webhook_secret => webhook_secret},
    gateway => q{chatmaid_sender +15550100001; chatmaid_account '<b id="markup">shop</b> "1"';},
    server  => "$STATUS location = /hooks { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/none; } location = /none { return 204; }");
my $page = url('/status');


subtest 'who gets it' => sub {
    my $html = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
    for my $accept ($html, 'application/xml, TEXT/HTML;q=0.5', 'text/html') {
        is(get($page, Accept => $accept)->{headers}{'content-type'}, 'text/html; charset=utf-8', $accept);
    }
    for my $accept ('*/*', 'text/*', 'text/htmlx', 'application/text/html', 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1', '') {
        like(get($page, Accept => $accept)->{headers}{'content-type'}, qr/^text\/plain/, "\"$accept\" is no browser");
    }
    is(get("$page?format=html")->{headers}{'content-type'}, 'text/html; charset=utf-8', 'asked for by name');
    is(get("$page?format=json", Accept => $html)->{headers}{'content-type'}, 'application/json', 'a name comes first');

    my $answer = get($page, Accept => $html);
    my ($style, $script) = map { $answer->{body} =~ m{<$_>(.*)</$_>}s ? sha256_base64($1) . '=' : 'none' } qw(style script);
    is($answer->{headers}{'content-security-policy'}, "default-src 'none'; style-src 'sha256-$style'; script-src 'sha256-$script'; "
        . "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", 'its policy');
    unlike($answer->{body} =~ s{'http://www\.w3\.org/2000/svg'}{}r, qr{(?:src|href)="(?!data:,|\?)|https?:|\bstyle=|\bon\w+="}, 'it has nothing from elsewhere');
    is($answer->{headers}{'cache-control'}, 'no-store', 'nobody keeps it');
    my $head = request(HEAD => $page, undef, Accept => $html);
    is_deeply([$head->{body}, $head->{headers}{'content-length'}], ['', length $answer->{body}], 'HEAD');
};

my $browser = Chatmaid::Test::Browser->new->start;

sub text ($id) { $browser->run('return document.getElementById(arguments[0]).innerText', $id) }
sub shows ($id, $what, $comment) {
    my $text;
    eval { wait_for(sub { ($text = text($id)) =~ $what }, $comment) } or diag "$id: $text";
    return like($text, $what, "$comment: $id");
}


subtest 'it renders' => sub {
    $browser->size(1280, 900);
    $browser->open($page);
    is($browser->run('return document.title'), 'Chatmaid gateway', 'its title');
    shows('when', qr/^as of \d/, 'it has asked');
    shows('build', qr/^version 0\.1\.0, configured /, 'the version');
    shows('state', qr/Redis\s+up\b/, 'Redis');
    shows('state', qr/Chatmaid\s+unknown\b/, 'Chatmaid, which has not been asked');
    shows('state', qr/Account <b id="markup">shop<\/b> "1"\s+free test, key [0-9a-f]{8}/, 'the account, as text');
    is($browser->run('return document.getElementById("markup")'), undef, 'not as markup');
    shows('idempotency', qr/^no send yet$/, 'nothing yet');
    is_deeply([$browser->console], [], 'nothing in the console');
};

subtest 'it follows' => sub {
    my ($m, $key) = (message, key);
    post('/send', $m, 'Idempotency-Key' => $key) for 1 .. 3;
    post('/send', message, 'Idempotency-Key' => $key);
    post('/send', '{');
    get('/account') for 1 .. 4;
    my $event = event('message.sent');
    post(url('/hooks'), $event, signed($event));
    post(url('/hooks'), $event);

    shows('state', qr/Chatmaid\s+up\b/, 'Chatmaid');
    shows('idempotency', qr/^replayed\t2\nnew\t1\nreused\t1$|^replayed\t2\nreused\t1\nnew\t1$/m, 'sends');
    shows('webhooks', qr/^verified\t1$/m, 'an event');
    shows('webhooks', qr/^missing_signature\t1$/m, 'a forgery');
    shows('tries', qr/^success\t5$/m, 'tries');
    shows('requests', qr/^send\t201\t3$/m, 'requests');
    shows('refusals', qr/^invalid_json\t1\t\d+ s ago$/m, 'a refusal');
    shows('latency', qr/^Chatmaid\t\s*[\d.]+ m?s\t/m, 'latency');
    shows('rates', qr/sends\s+\d/, 'rates');

    $api->fault({status => 429, json => {success => \0, statusCode => 429, error => 'Too Many Requests', message => ['slower'], retryAfter => 50}});
    post('/send', message);
    shows('state', qr/held for \d+ s/, 'the account is held back');
    $redis->stop;
    post('/send', message);
    shows('state', qr/Redis\s+away\b/, 'Redis has gone');
    is_deeply([$browser->console], [], 'nothing in the console');
};

subtest 'in any form' => sub {
    for my $width (1280, 768, 360) {
        $browser->size($width, 900);
        cmp_ok($browser->run('return document.documentElement.scrollWidth'), '<=', $width, "$width wide");
    }
    my %back;
    for my $scheme (qw(light dark)) {
        $browser->scheme($scheme);
        for my $width (1100, 390) {
            $browser->size($width, 900);
            like($browser->picture("status-$scheme-$width"), qr/^\x89PNG/, "$scheme, $width wide: a picture");
        }
        $back{$scheme} = $browser->run('return getComputedStyle(document.body).backgroundColor');
    }
    isnt($back{light}, $back{dark}, 'dark is another colour');
};

subtest 'when nginx has gone' => sub {
    $nginx->stop;
    shows('when', qr/^no answer: /, 'it says so');
    like(join("\n", $browser->console), qr/ERR_CONNECTION_REFUSED/, 'the console too');
    $nginx->start;
    shows('when', qr/^as of /, 'and goes on');
};

subtest 'nothing else runs in it' => sub {
    $browser->open($page);
    shows('when', qr/^as of /, 'the page');
    $browser->run(q{const script = document.createElement('script'); script.textContent = 'window.smuggled = 1'; document.body.append(script);});
    is($browser->run('return window.smuggled'), undef, 'a script of others');
    is($browser->run('return fetch("http://127.0.0.1:1/").then(() => "asked", () => "refused")'), 'refused', 'another server');
};

$browser->stop;
done;
