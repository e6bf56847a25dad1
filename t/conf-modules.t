# Other modules loaded beside ours, and at work in our locations: whatever is
# sent, read or received is what it is without them.

use Chatmaid::Test;
use Chatmaid::Test::Nginx;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(decode_json encode_json);

my $receiver = receiver;
my $api      = sandbox;
my $redis    = redis_server;

# In the order of Debian's modules-enabled.
my @others = map { "/usr/lib/nginx/modules/$_.so" } qw(ndk_http_module ngx_http_brotli_filter_module ngx_http_echo_module
    ngx_http_headers_more_filter_module ngx_http_js_module ngx_http_lua_module ngx_http_modsecurity_module);

# Another nginx than Debian's may not take them.
my ($code, $said) = nginx_t(no_module => 1, before => \@others, conf => "%HEAD%\nhttp { }\n");
if ($code && $said =~ /^nginx: \[emerg\] (.*(?:is not binary compatible|version \d+ instead of|undefined symbol|No such file).*)$/m) {
    $_->stop for $api, $receiver, $redis;
    plan(skip_all => $1);
}

my %http = (
    brotli      => 'brotli on; brotli_min_length 1; brotli_types application/json application/problem+json;',
    more        => 'more_clear_headers Server; more_set_headers "X-More: $status";',
    js          => 'js_path %DIR%/; js_import main from main.js; js_set $seen_by_js main.seen;',
    modsecurity => 'modsecurity on; modsecurity_rules_file %DIR%/rules;',
);
my %location = (
    lua  => <<'END',
            rewrite_by_lua_block       { ngx.ctx.steps = "rewrite" }
            access_by_lua_block        { ngx.ctx.steps = ngx.ctx.steps .. " access" }
            header_filter_by_lua_block { ngx.header["X-Lua"] = ngx.ctx.steps or "none" }
            body_filter_by_lua_block   { ngx.ctx.bytes = (ngx.ctx.bytes or 0) + #(ngx.arg[1] or "") }
            log_by_lua_block           { ngx.log(ngx.NOTICE, "lua saw ", ngx.ctx.bytes, " bytes of ", ngx.var.uri) }
END
    more => 'more_set_input_headers "X-Team: front";',
    js   => 'js_header_filter main.header; js_body_filter main.body;',
);
my %files = (
    'main.js' => <<'END',
function seen(r) { return r.method + ' ' + r.headersIn['X-Team']; }
function header(r) { r.headersOut['X-Js'] = r.variables.seen_by_js; }
function body(r, data, flags) { r.sendBuffer(data, flags); }
export default {seen, header, body};
END
    rules => <<'END',
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType application/json application/problem+json
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/json" "id:1,phase:1,t:none,nolog,pass,ctl:requestBodyProcessor=JSON"
SecRule ARGS "@contains an attack" "id:2,phase:2,t:none,deny,status:403,nolog"
END
    webhook_secret => webhook_secret . "\n",
);

sub started ($name, $active, @loaded) {
    my $in    = $active ? join "\n", values %location : '';
    my $edge  = "location = /hook { $in chatmaid_webhook on; proxy_pass http://127.0.0.1:${\$receiver->port}; }";
    my $aside = $active ? <<'END' : '';
        location ^~ /echoed/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; echo_before_body before; echo_after_body after; }
END
    return nginx(name => $name, @loaded, workers => 2, files => \%files, internal => $active ? 'header_filter_by_lua_block { ngx.ctx.called = true }' : '',
        http    => "chatmaid_redis ${\$redis->url} timeout=30s prefix=$name:; chatmaid_webhook_secret_file %DIR%/webhook_secret;\n"
            . ($active ? join "\n", values %http : ''),
        gateway => "chatmaid_sender +15550100001;\n$in", server => "$aside\n$edge");
}

# What becomes of each kind of request, in words.

sub answers ($nginx) {
    my ($m, $native, $k) = (message, native_message, key);
    my $url   = $nginx->url('/hook');
    my $event = event('message.sent');
    my @said;
    my $say   = sub ($what, $answer, @more) {
        my $type = $answer->{headers}{'content-type'} // 'none';
        push @said, join ', ', $what, $answer->{status}, $type, told($answer), @more;
    };
    my $post = sub ($path, $body, @headers) { $nginx->post($path, $body, @headers) };

    my $first = $post->('/send', $m, 'Idempotency-Key' => $k);
    $say->('a send', $first, $first->{json}{to}, $first->{headers}{'idempotency-key'} eq $k, $first->{headers}{'x-request-id'} ? 1 : 0);
    my $again = $post->('/send', $m, 'Idempotency-Key' => $k);
    $say->('its replay', $again, replayed($again), $again->{body} eq $first->{body});
    $say->('another message', $post->('/send', message, 'Idempotency-Key' => $k));
    $say->('no message', $post->('/send', {to => 'x'}));
    $say->('no JSON', $post->('/send', '{'));
    push @said, 'made ' . made($m) . ' by ' . sends_of($m);

    my $bytes = $post->('/v1/messages/send', $native);
    $say->('the native face', $bytes, $bytes->{json}{data}{content} eq $native->{content});
    my $id = $first->{json}{id};
    my $read = $nginx->get("/messages/$id");
    my $wait = $nginx->get("/messages/$id?wait=1&until=read");
    $say->('a read', $read, $read->{json}{content} eq $m->{text});
    $say->('a wait', $wait, $wait->{headers}{'chatmaid-wait'} // 'none');
    $say->('no such message', $nginx->get('/messages/none'));
    $say->('no such endpoint', $nginx->get('/none'));
    $say->('HEAD', $nginx->request(HEAD => "/messages/$id"), $nginx->request(HEAD => "/messages/$id")->{body} eq '');

    my $late = message;
    $api->fault({status => 500});
    $say->('a failure', $post->('/send', message));
    $api->fault({close => 'after'});
    $say->('no answer at first', $post->('/send', $late), made($late));
    $api->fault({truncate => 20});
    $say->('an answer cut off', $nginx->get('/account'));

    $say->('an event', $nginx->post($url, $event, signed($event)), passed($receiver, $event));
    $say->('its repeat', $nginx->post($url, $event, signed($event)), passed($receiver, $event));
    $say->('a forged one', $nginx->post($url, $event, signed("$event ")), passed($receiver, $event));
    my $large = event('message.received', {content => "\xe2\x82\xac" x 30_000});
    $say->('a large one', $nginx->post($url, $large, signed($large)), passed($receiver, $large));

    my @many    = map { message } 1 .. 20;
    my @answers = map { $_->result } map { $nginx->later(POST => '/send', $_) } @many;
    push @said, 'at once: ' . grep({ $_->{status} == 201 } @answers) . ', made ' . grep { made($_) == 1 } @many;
    return \@said;
}

my $alone = answers(started('alone', 0));
note(join "\n", @$alone);
is(scalar(@$alone), 20, 'each kind of request');

for my $case (['before', before => \@others], ['behind', behind => \@others]) {
    my ($name, @loaded) = @$case;

    subtest "$name ours" => sub {
        my $nginx = started($name, 1, @loaded);
        is_deeply(answers($nginx), $alone, 'as without them');

        my $answer = $nginx->get('/account');
        is($answer->{headers}{'x-lua'}, 'rewrite access', 'lua was at work');
        is($answer->{headers}{'x-more'}, 200, 'headers-more');
        is($answer->{headers}{server}, undef, 'by which Server is gone');
        is($answer->{headers}{'x-js'}, 'GET front', 'njs, which sees a header that headers-more has set');
        ok(wait_for(sub { $nginx->logged(qr{lua saw ${\length $answer->{body}} bytes of /chatmaid/account}) }), 'lua saw the whole body');

        my $attack = message(text => 'this is an attack');
        my $denied = $nginx->post('/send', $attack);
        is($denied->{status}, 403, 'ModSecurity refuses a send');
        is($denied->{headers}{'content-type'}, 'application/problem+json', 'as a problem');
        is(scalar(sends_of($attack)), 0, 'which reaches nobody');
        my $body = event('message.received', {content => 'this is an attack'});
        is($nginx->post($nginx->url('/hook'), $body, signed($body))->{status}, 403, 'and an event');
        is(passed($receiver, $body), 0, 'neither');

        my $echoed = $nginx->get($nginx->url('/echoed/account'));
        like($echoed->{body}, qr/\Abefore\n\{.*\}after\n\z/s, 'echo puts text around an answer');
        is_deeply(decode_json($echoed->{body} =~ s/\Abefore\n|after\n\z//gr), $answer->{json}, 'which is whole');

        for my $path ('account', 'none') {
            my $url    = $nginx->url("/chatmaid/$path");
            my $coded  = $nginx->get($url, 'Accept-Encoding' => 'br');
            my $plain  = $nginx->get($url);
            open my $curl, '-|', 'curl', '-s', '-H', 'Accept-Encoding: br', '--compressed', $url or die "curl: $!";
            my $decoded = decode_json(do { local $/; <$curl> });
            delete $_->{requestId} for $decoded, $plain->{json};
            is($coded->{headers}{'content-encoding'}, 'br', "brotli: $path");
            is_deeply($decoded, $plain->{json}, 'the same, once decoded');
        }
    };
}

done;
