# Several gateways in one nginx: each key reaches only its own calls.

use Chatmaid::Test;

debug_logs;

my %key = map { $_ => api_key(/live/ ? 'live' : 'test') } qw(main other other_live third);
my $api = sandbox(keys => [
    {key => $key{main},       account => 'main'},
    {key => $key{other},      account => 'other'},
    {key => $key{other_live}, account => 'other'},
    {key => $key{third},      account => 'third', scopes => ['messages:read']},
]);

my $sender = 'chatmaid_sender +15550100001;';

my $nginx = nginx(
    key   => $key{main},
    files => {map { $_ => "$key{$_}\n" } keys %key},
    http  => "chatmaid_account main; chatmaid_sender +15550100001;\n"
        . 'upstream second { server 127.0.0.1:%API%; keepalive 4; }',
    server => <<"END",
        location ^~ /other/ { chatmaid_gateway /.chatmaid/; chatmaid_account other; chatmaid_environment test;
                              chatmaid_api_key_file %DIR%/other; }
        location ^~ /live/  { chatmaid_gateway /.second/; chatmaid_account other; chatmaid_environment live;
                              chatmaid_api_key_file %DIR%/other_live; chatmaid_sender +15550100002;
                              chatmaid_scope messages:send messages:read; }
        location ^~ /third/ { chatmaid_gateway /.second/; chatmaid_account third; chatmaid_api_key_file %DIR%/third;
                              chatmaid_scope messages:read; }
        location ^~ /again/ { chatmaid_gateway /.again/; }
        location ^~ /.second/ { %PROXY% proxy_set_header X-Way second; proxy_pass https://second/; }
        location ^~ /.again/  { %PROXY% proxy_set_header X-Way again; proxy_pass https://chatmaid_api/; }
END
    servers => <<"END");
    server {
        listen 127.0.0.1:%PORT:b%;
        chatmaid_api_key_file %DIR%/other;
        chatmaid_account      other;
        location ^~ /chatmaid/  { chatmaid_gateway /.chatmaid/; chatmaid_scope account:read messages:send; }
        location ^~ /.chatmaid/ { %PROXY% proxy_set_header X-Way b; proxy_pass https://chatmaid_api/; }
    }
    server {
        listen 127.0.0.1:%PORT:c%;
        location ^~ /chatmaid/  { chatmaid_gateway /.here/; }
        location ^~ /.here/     { %PROXY% proxy_set_header X-Way c; proxy_pass https://second/; }
    }
END

sub at ($place) {
    my ($port, $path) = $place =~ /^(?:([a-z]+):)?(.*)$/;
    return 'http://127.0.0.1:' . $nginx->port($port // '') . $path;
}

# [place, key, account, environment, X-Way]
my @gateways = (
    ['/chatmaid',   'main',       'main',  'test', undef],
    ['/again',      'main',       'main',  'test', 'again'],
    ['/other',      'other',      'other', 'test', undef],
    ['/live',       'other_live', 'other', 'live', 'second'],
    ['/third',      'third',      'third', 'test', 'second'],
    ['b:/chatmaid', 'other',      'other', 'test', 'b'],
    ['c:/chatmaid', 'main',       'main',  'test', 'c'],
);

sub check_call ($gateway) {
    my ($place, $key, $account, $environment, $way) = @$gateway;
    my $call = $api->last;
    ok($call->{key} eq $key{$key}, "$place: its key");
    is("$call->{account} $call->{environment}", "$account $environment", "$place: its account and environment");
    is(scalar(() = $api->header($call, 'Authorization')), 1, "$place: one key");
    is(($api->header($call, 'X-Way'))[0], $way, "$place: its internal location");
}


subtest 'each key reaches its own calls' => sub {
    for my $round (1, 2) {                      # the second over kept connections
        for my $gateway (@gateways) {
            my $place = $gateway->[0];
            my $path  = $place =~ /^b/ ? '/account' : '/messages';
            is(get(at($place . $path))->{status}, 200, "$place: a read");
            check_call($gateway);
            next if $place eq '/third';
            my $from = $place eq '/live' ? '+15550100001' : '+15550100002';
            is(post(at("$place/send"), {%{+message}, from => $from})->{status}, 201, "$place: a send");
            check_call($gateway);
        }
    }
};

subtest 'at the same time' => sub {
    my @sending = grep { $_->[0] ne '/third' } @gateways;
    my $from    = $api->count + 1;
    $api->fault({hold => 'before', times => 2 * @sending});
    my @calls = map { my $gateway = $_; map { [$gateway, later(POST => at("$gateway->[0]/send"), {%{+message}, from => '+15550100001'})] } 1, 2 } @sending;
    $api->wait_held(2 * @sending);
    $api->release;
    is($_->[1]->result->{status}, 201, "$_->[0][0]: answered") for @calls;
    my %call = map { ($_->{message_id} // '') => $_ } $api->requests(from => $from);
    for my $call (@calls) {
        my ($place, $key) = @{$call->[0]};
        ok($call{$call->[1]->answer->{json}{id} // 'none'}{key} eq $key{$key}, "$place: its own message, with its key");
    }
};

subtest 'each sees its own messages' => sub {
    my $sent = post(at('/other/send'), message)->{json}{id};
    is(get(at("/other/messages/$sent"))->{status}, 200, 'its own');
    is(get(at("/chatmaid/messages/$sent"))->{status}, 404, "not another account's");
    is(get(at("/live/messages/$sent"))->{status}, 404, "not another environment's");
};

subtest 'scopes and senders' => sub {
    my $code = sub ($answer) { "$answer->{status} " . ($answer->{json}{code} // '') };
    is($code->(post(at('/third/send'), message)), '403 scope_denied', 'a reader does not send');
    is($code->(get(at('/live/account'))), '403 scope_denied', 'nor has the live one the account');
    is($code->(get(at('b:/chatmaid/messages'))), '403 scope_denied', 'the other server: own scopes');
    is(get(at('c:/chatmaid/messages'))->{status}, 200, 'the third server: all');
    my $answer = post(at('/live/send'), message);
    is($answer->{status}, 404, 'its own sender, which is not connected');
    like($api->last->{body}, qr/\+15550100002/, 'its own sender');
    like($api->last->{key}, qr/^sk_live_/, 'its own key');
};

subtest "another server's internal location" => sub {
    my ($code, $out) = nginx_t(servers => "server { listen 127.0.0.1:%PORT:c%;\nlocation ^~ /lost/ { chatmaid_gateway /.chatmaid/; } }");
    is($code, 1, 'is refused at start');
    like($out, qr/\[emerg\].*"chatmaid_gateway".*"\/lost\/".*"\/\.chatmaid\/", which this server does not have/, 'and the message says so');
};

subtest 'a key that is refused' => sub {
    $api->config(keys => [grep { $_->{key} ne $key{other} } map { {key => $key{$_}, account => /other/ ? 'other' : $_} } keys %key]);
    is(get(at('/other/account'))->{json}{code}, 'upstream_auth', 'its gateway');
    is(get(at('/chatmaid/account'))->{status}, 200, 'another gateway');
};

my ($code, $said) = nginx_t(key => $key{main}, files => {other => "$key{other}\n"},
    server => 'location ^~ /other/ { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/other; }');
isnt($code, 0, 'two test keys under one name');
like($said, qr/emerg.*chatmaid_account/, 'are refused by name');
done;
